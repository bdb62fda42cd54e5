"""Ask before something that can't be undone."""

import typer


def is_confirmed(question: str) -> bool:
    """Ask on standard error; returns whether the answer is yes. If standard input has ended, it is not."""
    try:
        return typer.confirm(question, err=True)
    except typer.Abort:
        return False
