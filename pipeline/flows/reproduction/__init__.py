"""The flow that does the report again: experiments one after the other, each resumable."""
