"""`python -m meshctl_headscale`: the same as `meshctl`."""

from meshctl_headscale.cli import main

if __name__ == "__main__":
    main()
