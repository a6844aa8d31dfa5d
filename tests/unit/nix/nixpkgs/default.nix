# In the place of nixpkgs: its `lib` (given, or the small one here) and packages that are names only.
{
  given ? null,
}:
let
  base = if given == null then import ./minilib.nix else import given;

  name = builtins.replaceStrings [ " " "/" ] [ "-" "-" ];
  fake =
    text:
    derivation {
      name = name text;
      system = "x86_64-linux";
      builder = "/bin/sh";
      args = [
        "-c"
        "exit 1"
      ];
    };

  pkgs = {
    lib = base;
    writeText = file: text: "/nix/store/${file}-${builtins.hashString "sha256" text}";
    runCommand =
      what: _: script:
      builtins.seq (builtins.stringLength script) (fake what);
    formats.yaml = { }: {
      generate =
        file: value: "/nix/store/${file}-${builtins.hashString "sha256" (builtins.toJSON value)}";
    };
    testers.runNixOSTest =
      test:
      let
        nodes = builtins.mapAttrs (_: node: (system { modules = [ node ]; }).config) test.nodes;
      in
      (fake test.name)
      // {
        inherit nodes;
        # Asking for the derivation evaluates every machine and the whole script.
        drvPath = builtins.deepSeq [
          (builtins.mapAttrs (_: checked) nodes)
          test.testScript
        ] (fake test.name).drvPath;
      };
    python3 = (fake "python3") // {
      withPackages = select: fake (builtins.concatStringsSep "-" (select known));
    };
    tailscale = (fake "tailscale") // {
      derper = fake "derper";
    };
  }
  // base.genAttrs [
    "iproute2"
    "jq"
    "nginx"
    "iputils"
    "kmod"
    "nftables"
    "openssl"
    "openssh"
    "nixfmt-rfc-style"
  ] fake;

  # Python packages that nixpkgs has under these names.
  known = base.genAttrs [
    "ansible-core"
    "ansible-runner"
    "jmespath"
    "jsonschema"
    "junitparser"
    "rich"
    "trustme"
    "typer"
    "pyyaml"
  ] (n: n);

  checked =
    config:
    let
      failed = builtins.filter (a: !a.assertion) config.assertions;
    in
    if failed != [ ] then
      throw (builtins.concatStringsSep "; " (map (a: a.message) failed))
    else
      config;

  system =
    { modules, ... }:
    let
      evaluated = base.evalModules {
        modules = [ ./options.nix ] ++ modules;
        specialArgs = { inherit pkgs; };
      };
      config = checked evaluated.config;
      vm = builtins.deepSeq (removeAttrs config [ "assertions" ]) (
        fake "nixos-${config.networking.hostName}"
      );
    in
    evaluated
    // {
      config = evaluated.config // {
        system = evaluated.config.system // {
          build = evaluated.config.system.build // {
            inherit vm;
            toplevel = vm;
            kernel = fake "linux";
            initialRamdisk = fake "initrd";
          };
        };
      };
    };
in
{
  lib = base // {
    nixosSystem = system;
    inherit checked;
  };
  legacyPackages.x86_64-linux = pkgs;
}
