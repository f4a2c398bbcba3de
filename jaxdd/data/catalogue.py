"""The data sets that are known by name: one row each."""

from jaxdd.data.readers import cifar, folders, idx, npz, svhn
from jaxdd.data.source import Form, Remote, Source

__all__ = ["SOURCES", "mirrors"]

_DIGITS = tuple("0123456789")
_OBJECTS = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
_CLOTHES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)


def _remotes(
    folders: tuple[str, ...], *rows: tuple[str, str, int]
) -> tuple[Remote, ...]:
    """Files (name, MD5, bytes) that lie in each of these folders."""
    return tuple(
        Remote(name, tuple(f + name for f in folders), f"md5:{checksum}", size)
        for name, checksum, size in rows
    )


_CIFAR_PAGE = "https://www.cs.toronto.edu/~kriz/cifar.html"
_CIFAR = _remotes(  # the owners have moved; their old address redirects
    ("https://www.cs.toronto.edu/~kriz/", "https://cave.cs.toronto.edu/kriz/"),
    ("cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a", 170_498_071),
    ("cifar-100-python.tar.gz", "eb9058c3a382ffc7106e4002c42a8d85", 169_001_437),
)
_MNIST = _remotes(
    (
        "http://yann.lecun.com/exdb/mnist/",
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
    ),
    ("train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873", 9_912_422),
    ("train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432", 28_881),
    ("t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3", 1_648_877),
    ("t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c", 4_542),
)
_FASHION = _remotes(
    (
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
    ),
    ("train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d", 26_421_880),
    ("train-labels-idx1-ubyte.gz", "25c81989df183df01b3e8a0aad5dffbe", 29_515),
    ("t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79", 4_422_102),
    ("t10k-labels-idx1-ubyte.gz", "bb300cfdad3c16e7a12a480ee83cd310", 5_148),
)
_SVHN = _remotes(
    ("http://ufldl.stanford.edu/housenumbers/",),
    ("train_32x32.mat", "e26dedcc434d2e4c54c9b2d4a06d8373", 182_040_794),
    ("test_32x32.mat", "eb5a983be6a315427106f1b164d9cef3", 64_275_384),
)


def _idx_forms(*folders: str) -> tuple[Form, ...]:
    """The training images in these folders, in both spellings, packed or not."""
    return tuple(
        Form(f"{folder}train-images[-.]idx3-ubyte{end}", idx.read, beside=idx.BESIDE)
        for folder in folders
        for end in (".gz", "")
    )


def _image_forms(*names: str) -> tuple[Form, ...]:
    """Image files in a folder or an archive whose name starts with one of `names`."""
    endings = ("*.tar", "*.tar.*", "*.tgz", "*.zip", "")
    return tuple(
        Form(name + ending, folders.read, resized=True)
        for name in names
        for ending in endings
    )


def _class_folders(name: str, home: str) -> Source:
    return Source(forms=_image_forms(name), home=home)


SOURCES: dict[str, Source] = {
    "mnist": Source(
        forms=(Form("mnist.npz", npz.read), *_idx_forms("", "mnist/", "MNIST/raw/")),
        class_names=_DIGITS,
        remotes=_MNIST,
        home="http://yann.lecun.com/exdb/mnist/",
    ),
    "fashion_mnist": Source(
        forms=(
            Form("fashion_mnist.npz", npz.read),
            Form("fashion-mnist.npz", npz.read),
            *_idx_forms("fashion_mnist/", "fashion-mnist/", "FashionMNIST/raw/", ""),
        ),
        class_names=_CLOTHES,
        remotes=_FASHION,
        home="https://github.com/zalandoresearch/fashion-mnist",
    ),
    "cifar10": Source(
        forms=(
            Form("cifar-10-python.tar.gz", cifar.cifar10_python),
            Form("cifar-10-binary.tar.gz", cifar.cifar10_binary),
            Form("cifar-10-batches-py", cifar.cifar10_python),
            Form("cifar-10-batches-bin", cifar.cifar10_binary),
            Form("data_batch_1", cifar.cifar10_python, beside=cifar.BESIDE),
            Form("data_batch_1.bin", cifar.cifar10_binary, beside=cifar.BESIDE),
            *_image_forms("cifar10"),
        ),
        class_names=_OBJECTS,
        remotes=_CIFAR[:1],
        home=_CIFAR_PAGE,
    ),
    "cifar100": Source(
        forms=(
            Form("cifar-100-python.tar.gz", cifar.cifar100_python),
            Form("cifar-100-binary.tar.gz", cifar.cifar100_binary),
            Form("cifar-100-python", cifar.cifar100_python),
            Form("cifar-100-binary", cifar.cifar100_binary),
            Form("fine_label_names.txt", cifar.cifar100_binary, beside=cifar.BESIDE),
            Form("meta", cifar.cifar100_python, beside=cifar.BESIDE),
            *_image_forms("cifar100"),
        ),
        remotes=_CIFAR[1:],
        home=_CIFAR_PAGE,
    ),
    "svhn": Source(
        forms=tuple(
            Form(f"{folder}train_32x32.mat", svhn.read, beside=svhn.BESIDE)
            for folder in ("", "svhn/", "SVHN/")
        ),
        class_names=_DIGITS,
        remotes=_SVHN,
        home="http://ufldl.stanford.edu/housenumbers/",
    ),
    "tinyimagenet": Source(
        forms=_image_forms("tiny-imagenet-200", "tiny_imagenet", "tinyimagenet"),
        remotes=(
            Remote(
                "tiny-imagenet-200.zip",
                ("http://cs231n.stanford.edu/tiny-imagenet-200.zip",),
                "md5:90528d7ca1a48142e341f4ef8d21d0de",
                248_100_043,
            ),
        ),
        home="http://cs231n.stanford.edu/tiny-imagenet-200.zip",
    ),
    # The fine-grained targets of KRR-ST: their owners publish them in layouts of their
    # own, so they are read as class folders, `train/<class>/` and `test/<class>/`.
    "aircraft": _class_folders(
        "aircraft", "https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/"
    ),
    "cars": _class_folders("cars", "https://ai.stanford.edu/~jkrause/cars/"),
    "cub2011": _class_folders(
        "cub2011", "https://www.vision.caltech.edu/datasets/cub_200_2011/"
    ),
    "dogs": _class_folders("dogs", "http://vision.stanford.edu/aditya86/ImageNetDogs/"),
    "flowers": _class_folders(
        "flowers", "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/"
    ),
}

_ONE_WAY_ROUND = {"digits", "mnist", "svhn", "svhn_cropped"}


def mirrors(name: str) -> bool:
    """Whether a mirrored image of this data set is still one of its class."""
    return name.removeprefix("tfds:") not in _ONE_WAY_ROUND
