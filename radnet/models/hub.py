"""The Hugging Face hub: how models are named there, bringing a finished export, and fetching it again."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import HfApi, constants, hf_hub_download
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    LocalTokenNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # imported there, not declared

from radnet import __version__
from radnet.errors import RadnetError, UsageError
from radnet.hashing import sha256_of_file
from radnet.models.provenance import CONFIG
from radnet.models.weights import hub_answers

_HTTP_LIBRARIES = ("httpx", "httpx2", "httpcore", "httpcore2", "requests", "urllib3")
ELSEWHERE = "or publish to local-dir:DIRECTORY and upload that directory later"


def hub_place(place: str) -> tuple[str, str | None]:
    """Repository and revision of ORG/NAME or ORG/NAME@REVISION; None stands for the newest revision.

    Raises:
        UsageError: The hub can have no such name.
    """
    repository, at, revision = place.partition("@")
    try:
        validate_repo_id(repository)
        if "@" in revision or bool(at) != bool(revision):
            raise HFValidationError("what follows @ is no revision")
    except HFValidationError as error:
        raise UsageError(
            "A model on the hub is named ORG/NAME or ORG/NAME@REVISION, in letters, digits, '-', '_' and '.'",
            seen=place,
            fix="For example hf-hub:my-group/ct-dino, or hf-hub:my-group/ct-dino@v1 for a tag, branch or commit",
        ) from error
    return repository, revision or None


def fetch_config(place: str) -> Path:
    """The directory, in the cache of the hub's client, with config.json of ORG/NAME or ORG/NAME@REVISION.

    Raises:
        UsageError: The hub can have no such name, or has no such model or revision.
        OSError: The hub cannot be reached and the cache does not have it; `HfHubHTTPError` where the hub refuses.
    """
    repository, revision = hub_place(place)
    try:
        return Path(hf_hub_download(repository, CONFIG, revision=revision)).parent
    except RepositoryNotFoundError as error:
        raise UsageError("There is no such model on the hub", seen=f"hf-hub:{place}", fix="Check ORG/NAME") from error
    except RevisionNotFoundError as error:
        raise UsageError(
            "This model on the hub has no such revision",
            seen=f"hf-hub:{place}",
            fix="After @ comes a tag, a branch or a commit; leave it out for the newest revision",
        ) from error


def upload_to_hub(directory: Path, repository: str, *, private: bool, overwrite: bool) -> None:
    """Upload all files of a directory in one commit; what a repository held before stays in its history.

    Args:
        directory: A finished export.
        repository: ORG/NAME.
        private: Make a new repository private.
        overwrite: Add a commit to a repository that exists.

    Raises:
        UsageError: There is such a repository and `overwrite` was not asked for.
        RadnetError: The hub cannot be reached, or does not let us in.
    """
    api = HfApi(endpoint=constants.ENDPOINT, library_name="radnet", library_version=__version__)
    with _explained(repository):
        if api.repo_exists(repository):
            if not overwrite:
                raise UsageError(
                    "There is a model of this name on the hub",
                    seen=repository,
                    fix="Choose another name, or give --overwrite to add a new version to it",
                )
        else:
            api.create_repo(repository, private=private, exist_ok=True)
        api.upload_folder(
            repo_id=repository, folder_path=directory, commit_message=f"Model exported by radnet {__version__}"
        )


@contextmanager
def fetch_from_hub(repository: str, original: Path) -> Iterator[Path]:
    """What the hub gives out now, in a scratch directory.

    Args:
        repository: ORG/NAME.
        original: The directory that was uploaded.

    Raises:
        RadnetError: It cannot be fetched, or a file is not the one that was uploaded.
    """
    with tempfile.TemporaryDirectory(prefix="radnet-hub-") as scratch:
        api = HfApi(endpoint=constants.ENDPOINT, library_name="radnet", library_version=__version__)
        with _explained(repository):
            fetched = Path(api.snapshot_download(repository, local_dir=Path(scratch) / "fetched"))
        for file in sorted(original.iterdir()):
            copy = fetched / file.name
            if not copy.is_file() or sha256_of_file(copy) != sha256_of_file(file):
                raise RadnetError(
                    f"The hub gives out another {file.name} than the one that was uploaded",
                    seen=repository,
                    fix="Publish it again with --overwrite",
                )
        yield fetched


@contextmanager
def _explained(repository: str) -> Iterator[None]:
    """Turn what the hub's client raises into an error that says what to do."""
    if not hub_answers():
        raise RadnetError(
            "The hub cannot be reached", seen=f"hf-hub:{repository}", fix=f"Connect to the network, {ELSEWHERE}"
        )
    try:
        yield
    except RadnetError:
        raise
    except (LocalTokenNotFoundError, HfHubHTTPError) as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if isinstance(error, LocalTokenNotFoundError) or status in (401, 403):
            raise RadnetError(
                "The hub does not let us write there",
                seen=f"hf-hub:{repository}",
                fix="Log in with: hf auth login (or set HF_TOKEN) as a member of that organisation",
            ) from error
        raise RadnetError(
            f"The hub refused ({' '.join(str(error).split())[:200]})",
            seen=f"hf-hub:{repository}",
            fix=f"Try again later, {ELSEWHERE}",
        ) from error
    except Exception as error:  # the client raises what its HTTP library raises, which differs between versions
        network = isinstance(error, OSError) or type(error).__module__.partition(".")[0] in _HTTP_LIBRARIES
        said = type(error).__name__ if network else f"{type(error).__name__}: {error}"
        raise RadnetError(
            f"The hub cannot be reached ({said})" if network else f"The hub's client failed ({said})",
            seen=f"hf-hub:{repository}",
            fix=f"Connect to the network, {ELSEWHERE}" if network else f"Try again with --debug, {ELSEWHERE}",
        ) from error
