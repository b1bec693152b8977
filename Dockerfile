# The search app: code and pinned packages. Models, images and the store are mounted; see
# compose.yaml and docs/app.md.
FROM python:3.11-slim

WORKDIR /app
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1

# Install torch built for the CPU: the build on PyPI needs gigabytes of CUDA. Not for a GPU.
RUN pip install --no-cache-dir --index-url https://download.pytorch.org/whl/cpu \
    torch==2.13.0 torchvision==0.28.0
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt
COPY cir cir

# Do not run as root. If user 1000 cannot read the mounted folders, choose another user id here.
RUN useradd --create-home --uid 1000 app && mkdir /store && chown app /store
USER app

EXPOSE 8000
# The app answers only after it has indexed the folder. An hour is enough for about 100,000 new
# images on two cores; --health-start-period gives more. The first answer makes it healthy.
HEALTHCHECK --interval=30s --timeout=5s --start-period=1h CMD \
    ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/healthz')"]
ENTRYPOINT ["python", "-m", "cir"]
CMD ["serve", "--host", "0.0.0.0", "--store", "/store/images", "--index", "/images"]
