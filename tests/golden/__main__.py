"""``python -m tests.golden``: write the golden files that are missing."""

from tests.golden.collection import GOLDEN


def main() -> None:
    for golden in GOLDEN:
        if golden.write is not None and not golden.path.exists():
            with golden.path.open("xb") as file:
                file.write(golden.write())
            print(f"{golden.path.name} is new")


if __name__ == "__main__":
    main()
