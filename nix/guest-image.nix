# The image for `mesh_libvirt: {image: nixos, image_path: ...}`: `nix build ./nix#guest-image`, and its `result`.
{
  nixpkgs,
  pkgs,
  configuration,
}:

let
  inherit (configuration) config;
  disk = import "${nixpkgs}/nixos/lib/make-disk-image.nix" {
    inherit (pkgs) lib;
    inherit config pkgs;
    format = "qcow2";
    partitionTableType = "none";
    installBootLoader = false;
    diskSize = 4096;
  };
in
pkgs.runCommand "meshctl-guest-image" { } ''
  mkdir $out && cd $out
  ln -s ${config.system.build.kernel}/bzImage vmlinuz
  ln -s ${config.system.build.initialRamdisk}/initrd initrd.img
  ln -s ${disk}/nixos.qcow2 disk.qcow2
  ln -s ${config.system.build.keys}/key key
  ln -s ${config.system.build.keys}/host_key.pub host_key.pub
  echo "init=${config.system.build.toplevel}/init" > cmdline
''
