# A guest of inventory/libvirt.yml as NixOS: the requirements of the roles, without a mesh. Its name and machine id come from
# the kernel's command line, its address from libvirt, and the programs of the mesh from the second disk.
{ pkgs, ... }:

let
  # Anyone who can read the store of the build machine can log in to these guests of a lab, and to no others.
  keys = pkgs.runCommand "meshctl-guest-keys" { nativeBuildInputs = [ pkgs.openssh ]; } ''
    mkdir $out
    ssh-keygen -q -t ed25519 -N "" -C meshctl -f $out/key
    ssh-keygen -q -t ed25519 -N "" -C meshctl-guest -f $out/host_key
  '';
in
{
  networking = {
    hostName = "";
    usePredictableInterfaceNames = false;
    useDHCP = false;
    interfaces.eth0.useDHCP = true;
    # The lab's resolver is written into it, and then tailscaled's.
    resolvconf.enable = false;
    dhcpcd.extraConfig = "nohook resolv.conf hostname";
    firewall.enable = false;
  };

  fileSystems."/" = {
    device = "/dev/vda";
    fsType = "ext4";
  };
  fileSystems."/opt/meshctl/bin" = {
    device = "/dev/vdb";
    fsType = "ext4";
    options = [
      "ro"
      "noload"
    ];
  };
  boot = {
    loader.grub.enable = false;
    kernelModules = [ "tun" ];
    initrd.availableKernelModules = [
      "virtio_pci"
      "virtio_blk"
      "virtio_net"
      "virtio_rng"
      "ext4"
    ];
  };

  services.openssh = {
    enable = true;
    hostKeys = [
      {
        path = "/etc/ssh/ssh_host_ed25519_key";
        type = "ed25519";
      }
    ];
    settings = {
      PasswordAuthentication = false;
      PermitRootLogin = "prohibit-password";
      SetEnv = "PATH=/opt/meshctl/bin:/run/wrappers/bin:/run/current-system/sw/bin:/usr/bin:/bin";
    };
  };
  environment.etc = {
    "ssh/ssh_host_ed25519_key" = {
      source = "${keys}/host_key";
      mode = "0600";
    };
    "ssh/authorized_keys.d/root" = {
      source = "${keys}/key.pub";
      mode = "0444";
    };
  };

  # The paths that the roles and the probe expect.
  environment.systemPackages = [
    pkgs.iproute2
    pkgs.iputils
    pkgs.kmod
    pkgs.nftables
    pkgs.nginx
    pkgs.python3
  ];
  systemd.tmpfiles.rules = [
    "L+ /usr/bin/python3 - - - - ${pkgs.python3}/bin/python3"
    "L+ /usr/sbin/nginx - - - - ${pkgs.nginx}/bin/nginx"
    "d /var/log/nginx 0755 root root - -"
  ];
  users.users.www-data = {
    isSystemUser = true;
    group = "www-data";
  };
  users.groups.www-data = { };

  system.build = { inherit keys; };
  system.stateVersion = "25.05";
}
