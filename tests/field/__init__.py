"""Cases from the field: what people reported, and what was found wrong in certlag, with the right answer.

One file for each kind. The input is what the outside hands over (API documents as YAML, what a TLS server is
configured to present); the answer is read from the exposition or the status document. `record.case` says what each
test is about, and docs/field-cases.md is generated from that.
"""
