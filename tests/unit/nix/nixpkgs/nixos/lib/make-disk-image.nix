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
assert builtins.elem format [ "raw" "qcow2" ];
assert builtins.elem partitionTableType [ "efi" "hybrid" "legacy" "legacy+gpt" "none" ];
pkgs.runCommand "disk" { } (toString config.system.build.toplevel)
