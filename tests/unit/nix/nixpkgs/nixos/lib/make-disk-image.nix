# Takes what upstream's takes, and makes nothing.
{
  lib,
  config,
  pkgs,
  format ? "raw",
  partitionTableType ? "legacy",
  installBootLoader ? true,
  diskSize ? "auto",
}:
# As upstream's would fail on: what is not a library, a size, a choice.
assert lib ? mkOption;
assert builtins.isBool installBootLoader;
assert diskSize == "auto" || builtins.isInt diskSize;
assert builtins.elem format [
  "raw"
  "qcow2"
];
assert builtins.elem partitionTableType [
  "efi"
  "hybrid"
  "legacy"
  "legacy+gpt"
  "none"
];
pkgs.runCommand "disk" { } (toString config.system.build.toplevel)
