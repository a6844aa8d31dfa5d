{
  description = "A Headscale mesh on NixOS: modules, the hosts of meshctl's seed topology, and a test that proves the mesh";

  # Take your own with `inputs.meshctl.inputs.nixpkgs.follows = "nixpkgs"`.
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { self, nixpkgs }:
    let
      system = "x86_64-linux";
      inherit (nixpkgs) lib;
      topology = builtins.fromJSON (builtins.readFile ./topology.json);
      modules = {
        headscale-server = import ./modules/headscale-server.nix;
        tailscale-client = import ./modules/tailscale-client.nix;
      };
      hosts = import ./hosts.nix { inherit lib topology modules; };
      configuration =
        name:
        lib.nixosSystem {
          inherit system;
          modules = [ hosts.${name} ];
        };
    in
    {
      nixosModules = modules;

      # headscale-server, client-node-1, client-node-2, client-node-3: `nixos-rebuild build-vm --flake ./nix#client-node-1`.
      nixosConfigurations = lib.mapAttrs (name: _: configuration name) hosts;

      # The same hosts as disks: `nix build ./nix#client-node-1-vm`.
      packages.${system} =
        lib.mapAttrs' (name: _: {
          name = "${name}-vm";
          value = self.nixosConfigurations.${name}.config.system.build.vm;
        }) hosts
        // {
          # For `mesh_libvirt: {image: nixos, image_path: ./result}`.
          guest-image = import ./guest-image.nix {
            inherit nixpkgs;
            pkgs = nixpkgs.legacyPackages.${system};
            configuration = lib.nixosSystem {
              inherit system;
              modules = [ (import ./guest.nix) ];
            };
          };
        };

      checks.${system}.stories = import ./tests/stories.nix {
        inherit lib topology modules;
        pkgs = nixpkgs.legacyPackages.${system};
        project = ../.;
      };

      formatter.${system} = nixpkgs.legacyPackages.${system}.nixfmt-rfc-style;
    };
}
