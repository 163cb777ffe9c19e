"""Small fakes of the official downloads: the layout is theirs, the pictures are noise.

python tests/transfer/prepare/fake_downloads.py OUT      # writes one of each, to look at or try the commands on
"""

import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
from scipy.io import savemat

FINDINGS = (
    *("Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia", "Pneumothorax"),
    *("Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia"),
)
SYNSETS = ("n01440764", "n01443537", "n01860187", "n01530575")
"""The first, second, 101st and 11th class of ImageNet."""
XRAY_HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
)


def picture(path: Path, seed: int, shape: tuple[int, ...] = (24, 20)) -> Path:
    """Noise as PNG or JPEG, different for every seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))
    return path


def class_folders(
    root: Path, classes: tuple[str, ...] = ("cat", "dog"), sides: tuple[str, ...] = ("train", "test")
) -> Path:
    """SIDE/CLASS/NAME.jpg."""
    seed = 0
    for side in sides:
        for name in classes:
            for _ in range(8):
                seed += 1
                picture(root / side / name / f"{seed:04d}.jpg", seed, (32, 32, 3))
    return root


def table_of_images(root: Path) -> Path:
    """images/NAME.png and labels.csv: 24 images of 8 people, two findings of 0 and 1 and a class."""
    rows = ["file,label,person,fluid,air,side"]
    for number in range(24):
        picture(root / f"images/{number:02d}.png", number)
        person, label = number // 3, ("a", "b")[number % 2]
        side = "train" if person < 5 else "test"
        rows.append(f"images/{number:02d}.png,{label},p{person},{number % 2},{number // 2 % 2},{side}")
    (root / "labels.csv").write_text("\n".join(rows) + "\n")
    return root


def cifar10_binary(root: Path, records: int = 20) -> Path:
    """cifar-10-batches-bin: records of one byte of class and three planes of 32 x 32."""
    folder = root / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for name in (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"):
        batch = random.integers(0, 256, (records, 3073), dtype=np.uint8)
        batch[:, 0] = np.arange(records) % 10
        (folder / name).write_bytes(batch.tobytes())
    (folder / "batches.meta.txt").write_text("airplane\nautomobile\n")
    return root


def medmnist(path: Path, *, labels: int = 1, side: int = 28, colours: bool = False) -> Path:
    """An .npz of three sides; several labels an image where `labels` is above 1."""
    random = np.random.default_rng(1)
    arrays = {}
    for name, count in (("train", 12), ("val", 4), ("test", 6)):
        arrays[f"{name}_images"] = random.integers(
            0, 256, (count, side, side, *([3] if colours else [])), dtype=np.uint8
        )
        wide = random.integers(0, 2, (count, labels), dtype=np.uint8)
        arrays[f"{name}_labels"] = wide if labels > 1 else (np.arange(count) % 2).astype(np.uint8)[:, None]
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)
    return path


def chestxray14(root: Path, patients: int = 12) -> Path:
    """Data_Entry_2017.csv, images_001/images/… and the two lists."""
    rows, lists = [XRAY_HEADER], {"train_val_list.txt": [], "test_list.txt": []}
    for patient in range(1, patients + 1):
        for number in range(2):
            name = f"{patient:08d}_{number:03d}.png"
            picture(root / f"images_{1 + patient % 2:03d}/images" / name, 100 * patient + number)
            index = 2 * patient + number
            found = f"{FINDINGS[index % 14]}|{FINDINGS[(index + 5) % 14]}" if index % 3 else "No Finding"
            rows.append(f"{name},{found},{number},{patient},058,M,PA,2682,2749,0.143,0.143,")
            lists["test_list.txt" if patient > 2 * patients // 3 else "train_val_list.txt"].append(name)
    (root / "Data_Entry_2017.csv").write_text("\n".join(rows) + "\n")
    for name, lines in lists.items():
        (root / name).write_text("\n".join(lines) + "\n")
    return root


def imagenet(root: Path, val: str = "folders") -> Path:
    """train/SYNSET/… and val/ in folders, or flat with the truth of the development kit ("devkit") or Kaggle's."""
    base = root / "ILSVRC/Data/CLS-LOC" if val == "kaggle" else root
    for number, synset in enumerate(SYNSETS):
        for image in range(6):
            picture(base / f"train/{synset}/{synset}_{image}.JPEG", 10 * number + image, (40, 30, 3))
    numbered = [(number, SYNSETS[number % 4]) for number in range(1, 9)]
    for number, synset in numbered:
        folder = f"val/{synset}" if val == "folders" else "val"
        picture(base / folder / f"ILSVRC2012_val_{number:08d}.JPEG", 500 + number, (40, 30, 3))
    ids = {synset: number for number, synset in enumerate(reversed(SYNSETS), start=1)}
    if val == "devkit":
        data = root / "ILSVRC2012_devkit_t12/data"
        data.mkdir(parents=True)
        (data / "ILSVRC2012_validation_ground_truth.txt").write_text("\n".join(str(ids[s]) for _, s in numbered) + "\n")
        kind = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O"), ("num_children", "O")]
        synsets = np.array([(number, synset, "words", 0) for synset, number in ids.items()], dtype=kind)
        savemat(data / "meta.mat", {"synsets": synsets})
    if val == "kaggle":
        lines = [f"ILSVRC2012_val_{number:08d},{synset} 1 2 30 40 " for number, synset in numbered]
        (root / "LOC_val_solution.csv").write_text("\n".join(["ImageId,PredictionString", *lines]) + "\n")
    return root


def covid_ct(root: Path, *, packed: bool = False) -> Path:
    """Images-processed/CT_COVID and CT_NonCOVID (or their zip files), and Data-split/."""
    names = {
        "CT_COVID": [f"A.title.2020-p{page}-{page}%{number}.png" for page in (3, 9) for number in (1, 2)]
        + [f"Another-title-p1{page}-21.png" for page in range(4)],
        "CT_NonCOVID": [f"{number}.png" for number in range(5)] + ["5%1.png", "5%2.jpg", "6.png"],
    }
    seed = 0
    for folder, files in names.items():
        for name in files:
            seed += 1
            picture(root / "Images-processed" / folder / name, seed)
        if packed:
            place = root / "Images-processed"
            with zipfile.ZipFile(place / f"{folder}.zip", "w") as file:
                for name in files:
                    file.write(place / folder / name, f"{folder}/{name}")
                    (place / folder / name).unlink()
            (place / folder).rmdir()
        short = folder.removeprefix("CT_")
        for side, part in (("train", files[:4]), ("val", files[4:6]), ("test", files[6:])):
            file = root / f"Data-split/{short}/{side}CT_{short}.txt"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("\n".join(part) + "\n")
    return root


def head_hemorrhage(root: Path) -> Path:
    """labels.csv as Kaggle has it (mind the blank in the header) and head_ct/head_ct/000.png …"""
    for number in range(20):
        picture(root / f"head_ct/head_ct/{number:03d}.png", number)
    rows = [f"{number},{int(number < 10)}" for number in range(20)]
    (root / "labels.csv").write_text("\n".join(["id, hemorrhage", *rows]) + "\n")
    return root


if __name__ == "__main__":
    out = Path(sys.argv[1])
    class_folders(out / "folders")
    table_of_images(out / "table")
    cifar10_binary(out / "cifar10")
    medmnist(out / "pathmnist.npz", colours=True)
    medmnist(out / "chestmnist.npz", labels=14)
    chestxray14(out / "chestxray14")
    imagenet(out / "imagenet")
    covid_ct(out / "covid_ct")
    head_hemorrhage(out / "head_hemorrhage")
