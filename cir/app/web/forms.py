"""Forms with an image in them, read from a request; for the API and for the page."""

from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request

from cir.app.web.faults import BadRequest, TooLarge, WrongType

_MAX_FIELDS = 300
_MAX_FIELD_BYTES = 64 * 1024
_TYPES = ("multipart/form-data", "application/x-www-form-urlencoded")


async def read_form(
    request: Request, max_upload_bytes: int
) -> tuple[bytes | None, list[tuple[str, str]]]:
    """The image of a form, None where there is none, and its other fields in order.

    What the client says of the image, its name and its type, does not count. An image without a
    byte is what a browser sends where none was chosen.

    Raises:
        WrongType: the request is no form.
        TooLarge: the image has more than `max_upload_bytes`.
        BadRequest: a file where a text belongs, a text in the image's place, or a form whose text
            cannot be read.
    """
    sent = request.headers.get("content-type", "")
    if not sent.lower().startswith(_TYPES):
        raise WrongType(f"expected a form (multipart/form-data), got {sent[:100]!a}")
    form = await _parsed(request)
    try:
        image, fields = None, []
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                if name != "image":
                    raise BadRequest(f"the file belongs in the field image, not {name[:60]!a}")
                image = await _read(value, max_upload_bytes)
            elif name == "image":
                if value:
                    raise BadRequest("the field image holds a text; send a file in it")
            else:
                fields.append((name, value))
    finally:
        await form.close()
    return image, fields


async def _parsed(request: Request) -> FormData:
    limits = {"max_files": 1, "max_fields": _MAX_FIELDS, "max_part_size": _MAX_FIELD_BYTES}
    try:
        return await request.form(**limits)
    except (ValueError, LookupError):  # of the charset that it names, or of its bytes
        raise BadRequest("the form cannot be read: send it as multipart in UTF-8") from None


async def _read(upload: UploadFile, max_upload_bytes: int) -> bytes | None:
    if (upload.size or 0) > max_upload_bytes:
        raise TooLarge(
            f"the image you sent has {upload.size:,} bytes, and this server takes "
            f"{max_upload_bytes:,}"
        )
    return await upload.read() or None
