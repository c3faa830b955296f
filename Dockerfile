# The gateway as a non-root process. /data is the working folder and the volume: gateway.yaml, the store and its socket.
#   docker build -t paifang . && docker run --rm -p 127.0.0.1:8080:8080 -v paifang:/data paifang
FROM python:3.13-slim AS build
WORKDIR /src
RUN python -m venv /opt/paifang
COPY pyproject.toml constraints.txt README.md LICENSE gateway.yaml ./
COPY proxy ./proxy
COPY plugins ./plugins
COPY adapters ./adapters
RUN /opt/paifang/bin/pip install --no-cache-dir --disable-pip-version-check -c constraints.txt .

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin paifang \
 && install -d -o paifang -g paifang /data
COPY --from=build /opt/paifang /opt/paifang
COPY --chown=paifang:paifang gateway.yaml /data/gateway.yaml
ENV PATH=/opt/paifang/bin:$PATH PYTHONUNBUFFERED=1
USER paifang
WORKDIR /data
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
  CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8080/healthz', timeout=2)"]
ENTRYPOINT ["paifang"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8080"]
