"""Read forms with an image from requests, for the API and for the page."""

from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request

from cir.app.web.faults import BadRequest, TooLarge, WrongType

_MAX_FILES = 8
_MAX_FIELDS = 300
_MAX_FIELD_BYTES = 64 * 1024
_TYPES = ("multipart/form-data", "application/x-www-form-urlencoded")


async def read_form(
    request: Request, max_upload_bytes: int
) -> tuple[list[bytes], list[tuple[str, str]]]:
    """Return the bytes of a form's images, and its other fields in order.

    The names and the types of the images that the client gives are ignored. An image of zero bytes
    counts as none: a browser sends it if no file was chosen.

    Raises:
        WrongType: the request is not a form.
        TooLarge: the image has more than `max_upload_bytes` bytes.
        BadRequest: a text field holds a file, the field image holds a text, or the form cannot be
            decoded.
    """
    sent = request.headers.get("content-type", "")
    if not sent.lower().startswith(_TYPES):
        raise WrongType(f"expected a form (multipart/form-data), got {sent[:100]!a}")
    form = await _parsed(request)
    try:
        images, fields = [], []
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                if name != "image":
                    raise BadRequest(f"the file must be in the field image, not in {name[:60]!a}")
                images.append(await _read(value, max_upload_bytes))
            elif name == "image":
                if value:
                    raise BadRequest("the field image holds a text; it must hold a file")
            else:
                fields.append((name, value))
    finally:
        await form.close()
    return [image for image in images if image], fields


async def _parsed(request: Request) -> FormData:
    limits = {"max_files": _MAX_FILES, "max_fields": _MAX_FIELDS, "max_part_size": _MAX_FIELD_BYTES}
    try:
        return await request.form(**limits)
    except (ValueError, LookupError):  # an unknown charset, or bytes that do not fit it
        raise BadRequest("the form cannot be read: send it as multipart in UTF-8") from None


async def _read(upload: UploadFile, max_upload_bytes: int) -> bytes:
    if (upload.size or 0) > max_upload_bytes:
        raise TooLarge(
            f"the image you sent has {upload.size:,} bytes, but this server takes at most "
            f"{max_upload_bytes:,}"
        )
    return await upload.read()
