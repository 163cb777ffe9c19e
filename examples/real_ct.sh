#!/usr/bin/env bash
# The whole path on real CT: volumes and DICOM series -> one shard set -> SimCLR -> kNN and linear probe -> export.
#
#   bash examples/real_ct.sh SHARED_DATA_DIR [OUT]
#
# SHARED_DATA_DIR holds ct_volumes/, dicom_series/ and manifest.csv. EPOCHS=1 and EVERY=4 (every fourth slice) make it
# quick. About twenty patients are far too few to say anything about models; this shows that every step does its work on real files.
set -euo pipefail
data=$(cd "${1:?usage: bash examples/real_ct.sh SHARED_DATA_DIR [OUT]}" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
out=${2:-runs/real_ct}
epochs=${EPOCHS:-5}
size=64
backbone=resnet10t
[ -x "$here/../.venv/bin/radnet" ] && PATH="$here/../.venv/bin:$PATH"
command -v radnet > /dev/null || { echo "radnet is not installed: run 'make demo' once, or pip install ." >&2; exit 1; }

if [ -e "$out" ]; then
    [ -f "$out/archive/metadata.csv" ] || { echo "$out exists and was not made by this script: give another OUT" >&2; exit 2; }
    rm -rf "$out"
fi
mkdir -p "$out/archive"
ln -s "$data/ct_volumes" "$data/dicom_series" "$out/archive/"
python "$here/real_ct_metadata.py" "$data" "$out/archive/metadata.csv"
# These scans are public, so their secret may be: everybody gets the same keys and the same split.
printf 'radnet public example data' | sha256sum | cut -d' ' -f1 > "$out/secret"

radnet shards build "$out/archive" "$out/set" --secret "$out/secret" --split-fractions 0.6,0.2,0.2 --every "${EVERY:-1}" --jobs 2
radnet pretrain experiment=demo data="$out/set" out="$out/run" backbone=$backbone epochs="$epochs" \
    batch_size=64 method.views.size=$size
for protocol in knn linear; do
    radnet evaluate "model=[run:$out/run,random:$backbone,timm:tf_efficientnet_lite0]" data="$out/set" \
        task=body_region task.size=$size protocol=$protocol results="$out/results" cache="$out/cache" workers=1
done
radnet leaderboard --results "$out/results"
radnet export "$out/run" "$out/export"
python - "$out/export" <<'PYTHON'
import sys
import timm
import torch
model = timm.create_model(f"local-dir:{sys.argv[1]}", pretrained=True, num_classes=0).eval()
with torch.inference_mode():
    print("timm loads the export; features of one picture:", tuple(model(torch.zeros(1, 1, 64, 64)).shape))
PYTHON
