# The search app alone: code and pinned packages. Models, images and the store are mounted; see
# compose.yaml and docs/app.md.
FROM python:3.11-slim

WORKDIR /app
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1

# The CPU builds: those that PyPI has bring gigabytes of CUDA with them. For a GPU leave this out.
RUN pip install --no-cache-dir --index-url https://download.pytorch.org/whl/cpu \
    torch==2.13.0 torchvision==0.28.0
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt
COPY cir cir

# No root; the user's own number where the mounted folders are not readable for this one.
RUN useradd --create-home --uid 1000 app && mkdir /store && chown app /store
USER app

EXPOSE 8000
# It listens when the folder is indexed. An hour is enough for some 100,000 new images on two
# cores; give more with --health-start-period. Once it answers, it is healthy at once.
HEALTHCHECK --interval=30s --timeout=5s --start-period=1h CMD \
    ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/healthz')"]
ENTRYPOINT ["python", "-m", "cir"]
CMD ["serve", "--host", "0.0.0.0", "--store", "/store/images", "--index", "/images"]
