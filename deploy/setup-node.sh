#!/usr/bin/env bash
# Sets up a node without an image: Python, a compiler, and 3.3 GB of wheels into ~/timbre. Machines of
# one's own take this way; on a cloud use the image of deploy/Dockerfile, as every new spot node
# would spend minutes here. Run again, it does what is missing.
set -euo pipefail

# torch.compile builds C code on the node: it needs a compiler and Python's headers.
if command -v apt-get > /dev/null && sudo -n true 2> /dev/null; then
  if ! command -v python3.11 > /dev/null && command -v add-apt-repository > /dev/null; then
    sudo add-apt-repository -y ppa:deadsnakes/ppa
  fi
  sudo apt-get update -q
  sudo apt-get install -q -y python3.11-venv python3.11-dev build-essential curl
fi
command -v python3.11 > /dev/null \
  || { echo "error: install Python 3.11 with venv on this machine first" >&2; exit 1; }
command -v cc > /dev/null \
  || echo "warning: no C compiler: networks are not compiled here; install build-essential" >&2

test -x ~/timbre/bin/python || python3.11 -m venv ~/timbre
# What decides a result is pinned here, within what pyproject.toml allows; yt-dlp is not, because
# YouTube changes monthly. To pin all the rest as well: `.venv/bin/pip freeze --exclude-editable >
# constraints.txt`, mount it like pyproject.toml, and add `-c ~/timbre-project/constraints.txt`.
# The code travels with every job, so what is installed is what pyproject.toml asks for, no more.
~/timbre/bin/python - ~/timbre-project/pyproject.toml > ~/timbre-project/requirements.txt << 'EOF'
import sys
import tomllib

with open(sys.argv[1], "rb") as file:
    print(*tomllib.load(file)["project"]["dependencies"], sep="\n")
EOF
~/timbre/bin/pip install --quiet "ray[data,default,train]==2.60.0" "pyarrow==26.0.1" \
  "librosa==0.11.0" "numba==0.68.1" "torch==2.11.0" "torchaudio==2.11.0" "torchvision==0.26.0" \
  "ffmpeg-python==0.2.0" "pandas==3.1.1" "numpy==2.4.6" "av==18.1.0" "soundfile==0.14.0" \
  "timm==1.0.31" --requirement ~/timbre-project/requirements.txt
