"""HDF5 files that may come from strangers: what is read lies in the file, and is what it should be.

Left to itself, HDF5 opens whatever other files a dataset names (links, external and virtual
storage), makes room for any declared size and inflates any chunk to its end. So `Reader` checks
before it reads. One danger escapes such checks: damaged strings of variable length make HDF5 itself
hang or take gigabytes. Files with strings are first read by `sandbox`.
"""

import math
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import h5py
import numpy as np

_CLASSES = {h5py.h5t.INTEGER: "integers", h5py.h5t.FLOAT: "floats", h5py.h5t.STRING: "strings"}


class Reader:
    """Reads the values of an open file, each checked before it is read.

    Args:
      file: open for reading.
      limit: bytes in memory that all arrays together may take.
    """

    def __init__(self, file: h5py.File, limit: int):
        self._file = file
        self._left = limit
        self._sizes: dict[str, int] = {}

    def __contains__(self, where: str) -> bool:
        group, _, name = where.rpartition("/")
        return self._object(group).get(name, getlink=True) is not None

    def members(self, where: str) -> list[str]:
        """The names in a group.

        Args:
          where: its path in the file.

        Raises:
          ValueError: it is missing, or no group.
        """
        group = self._object(where)
        if not isinstance(group, h5py.Group):
            raise ValueError(f"{where}: expected a group")
        return list(group)

    def size(self, axis: str) -> int:
        """The size of an axis, by the datasets read so far.

        Args:
          axis: its name.

        Raises:
          KeyError: no dataset with that axis has been read.
        """
        return self._sizes[axis]

    def has_attribute(self, name: str, where: str = "/") -> bool:
        """Whether an object has an attribute; arguments as `attribute`."""
        return name in self._object(where).attrs

    def attribute(self, name: str, where: str = "/") -> bool | int | float | str:
        """An attribute that is one plain number, bool or string.

        Args:
          name: of the attribute.
          where: the path of the object that has it.

        Raises:
          ValueError: it is missing or something else.
        """
        return attribute(self._object(where), name)

    def attributes(self) -> dict[str, bool | int | float | str]:
        """All attributes of the root; errors as `attribute`."""
        return {name: attribute(self._file, name) for name in self._file.attrs}

    def array(
        self, where: str, dtype: type, axes: Sequence[str], *, count: int | None = None
    ) -> np.ndarray:
        """A dataset, or its first `count` entries.

        Args:
          where: its path in the file.
          dtype: what its values have to be.
          axes: a name for each; those of one name have one size in all datasets. A number is
            the size itself, "" is any size.
          count: entries on the first axis; all if None.

        Raises:
          ValueError, OSError: it is missing, leads out of the file, is of another type or shape,
            or larger than is left of the limit.
        """
        dataset = self._dataset(where, axes)
        if kind(dataset) == "strings" or dataset.dtype.newbyteorder("=") != np.dtype(dtype):
            raise ValueError(f"{where}: expected {np.dtype(dtype)}, found {dtype_name(dataset)}")
        return self._read(dataset, count)

    def strings(self, where: str, axes: Sequence[str]) -> list[str]:
        """A dataset of strings on one axis; arguments and errors as `array`."""
        dataset = self._dataset(where, axes)
        if kind(dataset) != "strings":
            raise ValueError(f"{where}: expected strings, found {dtype_name(dataset)}")
        return [_text(where, value) for value in self._read(dataset)]

    def _read(self, dataset: h5py.Dataset, count: int | None = None) -> np.ndarray:
        check_stored(dataset, self._left)
        self._left -= dataset.nbytes
        return read(dataset, count)

    def _dataset(self, where: str, axes: Sequence[str]) -> h5py.Dataset:
        dataset = self._object(where)
        if not isinstance(dataset, h5py.Dataset):
            raise ValueError(f"{where}: expected a dataset, found a group or a type")
        # First of all: asked for the shape of a virtual dataset, HDF5 opens other files.
        check_inside(dataset)
        shape = dataset.shape or ()
        expected = [
            int(axis) if axis.isdigit() else self._sizes.setdefault(axis, size) if axis else size
            for axis, size in zip(axes, (*shape, *[-1] * len(axes)), strict=False)
        ]
        if list(shape) != expected:
            raise ValueError(f"{where}: expected the shape {tuple(expected)}, found {shape}")
        return dataset

    def _object(self, where: str) -> h5py.HLObject:
        item = self._file
        for name in filter(None, where.split("/")):
            if not isinstance(item, h5py.Group):
                raise ValueError(f"{where} is missing")
            item = member(item, name)
        return item


def member(group: h5py.Group, name: str) -> h5py.HLObject:
    """An object of a group; a link, which may lead out of the file, is not followed.

    Args:
      group: an open group.
      name: of the object.

    Raises:
      ValueError: there is none of that name, or it is a link.
    """
    # HDF5 takes a name with slashes for a path, and follows links on it; only damage makes one.
    link = group.get(name, getlink=True) if "/" not in name else None
    full = f"{group.name}/{name}".lstrip("/")
    if link is None:
        raise ValueError(f"{full} is missing")
    if not isinstance(link, h5py.HardLink):
        raise ValueError(f"{full} is a link, which is not followed")
    return group[name]


def datasets(file: h5py.File, most: int) -> Iterator[tuple[str, h5py.Dataset]]:
    """All datasets of a file by their paths.

    Args:
      file: open for reading.
      most: objects that the file may have.

    Yields:
      The path and the dataset.

    Raises:
      ValueError: one leads out of the file, or there are more than `most` objects: a group may
        hold a hard link to itself, an endless tree.
    """
    groups, count = [("", file)], 0
    while groups:
        prefix, group = groups.pop()
        for name in group:
            count += 1
            if count > most:
                raise ValueError(f"more than {most} objects, not a weight file")
            item = member(group, name)
            if isinstance(item, h5py.Group):
                groups.append((f"{prefix}{name}/", item))
            elif isinstance(item, h5py.Dataset):
                check_inside(item)
                yield f"{prefix}{name}", item


def attribute(item: h5py.HLObject, name: str) -> bool | int | float | str:
    """An attribute that is one plain number, bool or string.

    Args:
      item: the object that has it.
      name: of the attribute.

    Raises:
      ValueError: it is missing or something else.
    """
    if name not in item.attrs:
        raise ValueError(f"the attribute {name} is missing")
    stored = h5py.h5a.open(item.id, name.encode(errors="surrogateescape"))
    is_plain = stored.get_type().get_class() in (*_CLASSES, h5py.h5t.ENUM)
    if not is_plain or stored.get_space().get_simple_extent_type() != h5py.h5s.SCALAR:
        raise ValueError(f"the attribute {name}: expected one number or string")
    value = item.attrs[name]
    if isinstance(value, bytes | str):
        return _text(f"the attribute {name}", value)
    if not isinstance(value, np.bool_ | np.integer | np.floating):
        raise ValueError(f"the attribute {name}: expected a number, found {type(value).__name__}")
    return value.item()


def kind(dataset: h5py.Dataset) -> str:
    """What the values are.

    Args:
      dataset: an open dataset.

    Returns:
      "integers", "floats", "strings" or "neither numbers nor strings".
    """
    return _CLASSES.get(dataset.id.get_type().get_class(), "neither numbers nor strings")


def dtype_name(dataset: h5py.Dataset) -> str:
    """The type of the values, in words.

    Args:
      dataset: an open dataset.

    Returns:
      NumPy's name for numbers, else as `kind`.
    """
    found = kind(dataset)
    return dataset.dtype.name if found in ("integers", "floats") else found


def check_inside(dataset: h5py.Dataset) -> None:
    """Refuses a dataset that keeps its values in another file.

    Args:
      dataset: an open dataset.

    Raises:
      ValueError: it does.
    """
    properties = dataset.id.get_create_plist()
    if properties.get_layout() == h5py.h5d.VIRTUAL or properties.get_external_count():
        raise ValueError(f"{dataset.name} keeps its data in another file")


def check_stored(dataset: h5py.Dataset, limit: int) -> None:
    """Refuses a dataset that takes more memory than `limit`, or that `read` does not read.

    Args:
      dataset: an open dataset.
      limit: bytes of its values, and of one chunk.

    Raises:
      ValueError: it is too large, or compressed in another way than gzip.
    """
    itemsize = dataset.id.get_type().get_size()
    chunk = math.prod(dataset.chunks or ()) * itemsize
    needed = max(math.prod(dataset.shape or ()) * itemsize, chunk)
    if needed > limit:
        raise ValueError(
            f"{dataset.name} declares {needed:,} bytes; at most {limit:,} are expected in a file "
            "of this size"
        )
    unknown = set(_filters(dataset)) - {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE}
    if unknown:
        raise ValueError(f"{dataset.name} is compressed: only gzip is read; write it again with it")


def read(dataset: h5py.Dataset, count: int | None = None) -> np.ndarray:
    """All values, or the first `count` on the first axis; after `check_inside` and `check_stored`.

    Args:
      dataset: an open dataset.
      count: entries on the first axis; all if None.

    Raises:
      ValueError, OSError: the file is damaged.
    """
    if dataset.chunks is None or kind(dataset) == "strings":
        return np.asarray(dataset[()] if count is None else dataset[:count])
    values = np.full(dataset.shape, dataset.fillvalue, dataset.dtype)
    stored: list[h5py.h5d.StoreInfo] = []
    dataset.id.chunk_iter(stored.append)
    for chunk in stored:
        corner = chunk.chunk_offset
        if len(corner) != values.ndim or chunk.filter_mask:
            raise ValueError(f"{dataset.name} is damaged")
        places = tuple(
            slice(start, start + size) for start, size in zip(corner, dataset.chunks, strict=True)
        )
        part = values[places]
        part[...] = _chunk(dataset, corner)[tuple(map(slice, part.shape))]
    return values[:count]


def _chunk(dataset: h5py.Dataset, corner: tuple[int, ...]) -> np.ndarray:
    """One chunk, inflated to its own size and not further: HDF5 would inflate a bomb."""
    itemsize, size = dataset.dtype.itemsize, math.prod(dataset.chunks) * dataset.dtype.itemsize
    _, data = dataset.id.read_direct_chunk(corner)
    for number in reversed(_filters(dataset)):
        if number == h5py.h5z.FILTER_DEFLATE:
            data = zlib.decompressobj().decompress(data, size + 1)
        else:
            # The other filter, shuffle, puts the first bytes of all values first, and so on.
            data = np.frombuffer(data, np.uint8).reshape(itemsize, -1).T.tobytes()
    if len(data) != size:
        raise ValueError(f"{dataset.name} is damaged: a chunk is not of its declared size")
    return np.frombuffer(data, dataset.dtype).reshape(dataset.chunks)


def _filters(dataset: h5py.Dataset) -> list[int]:
    properties = dataset.id.get_create_plist()
    return [properties.get_filter(i)[0] for i in range(properties.get_nfilters())]


def _text(what: str, value: Any) -> str:
    """A string of a file; bytes that are no text, which h5py makes surrogates, are refused."""
    try:
        return value.decode() if isinstance(value, bytes) else value.encode().decode()
    except UnicodeError:
        raise ValueError(f"{what}: expected UTF-8 text") from None
