"""Forms are known before the first thread asks: what is learnt by two threads at once ends the process."""

from exporter.cluster import documents


def test_every_form_has_its_decoder_from_the_beginning() -> None:
    forms = {form for form in vars(documents).values() if isinstance(form, type) and issubclass(form, documents.Struct)}
    assert forms - {documents.Struct} <= documents._DECODERS.keys()  # noqa: SLF001 - that is what it is about
