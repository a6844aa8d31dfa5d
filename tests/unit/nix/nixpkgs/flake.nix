{
  description = "In the place of nixpkgs, for evaluation without a network";
  outputs = { self }: import ./default.nix { };
}
