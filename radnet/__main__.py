"""`python -m radnet`, as torchrun calls it."""

from radnet.cli import main

if __name__ == "__main__":
    main()
