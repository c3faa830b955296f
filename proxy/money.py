"""Money: integer nano-USD, and price × usage in exact integers.

A price is exact decimal text per 1M tokens, kept as integer pico-units of its currency per token (0.70 per 1M = 700,000
pico per token). A charge is the sum of tokens × price, times the exchange rate as a fraction, with one ceiling to nano-USD
per request. No floats.
"""
