# One host with modules of nix/ and what a test adds to them.
{
  given ? null,
  modules,
  add ? { },
}:
let
  nixpkgs = import ./nixpkgs { inherit given; };
  inherit (nixpkgs) lib;
  evaluated = lib.nixosSystem { modules = map import modules ++ [ add ]; };

  documented =
    path: options:
    if options ? _type then
      [
        {
          name = builtins.concatStringsSep "." path;
          type = options.type.name or "";
          description = options.description or "";
        }
      ]
    else
      builtins.concatMap (name: documented (path ++ [ name ]) options.${name}) (
        builtins.attrNames options
      );
in
{
  # Forced only when asked for: an assertion that does not hold is an error here.
  config = lib.checked evaluated.config;
  options = documented [ "meshctl" ] evaluated.options.meshctl;
}
