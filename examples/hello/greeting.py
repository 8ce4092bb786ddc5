"""Greets people."""


def greet(name: str) -> str:
    if not name:
        raise ValueError("a name is needed")
    return f"Hello, {name}!"
