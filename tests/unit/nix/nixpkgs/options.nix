# The options of NixOS that nix/ sets, with their types as upstream declares them: another name or type is refused.
{ lib, pkgs, ... }:
let
  inherit (lib) mkOption types;
  of = type: mkOption { inherit type; };
  with' = type: default: mkOption { inherit type default; };
  flag = with' types.bool false;
  set = options: types.submodule { inherit options; };
  address = set {
    address = of types.str;
    prefixLength = of types.int;
  };
  unit = set {
    description = with' types.str "";
    wantedBy = with' (types.listOf types.str) [ ];
    wants = with' (types.listOf types.str) [ ];
    requires = with' (types.listOf types.str) [ ];
    after = with' (types.listOf types.str) [ ];
    path = with' (types.listOf types.package) [ ];
    environment = with' (types.attrsOf types.str) { };
    startLimitIntervalSec = with' types.int 10;
    serviceConfig = with' (types.attrsOf types.anything) { };
    preStart = with' types.lines "";
    script = with' types.lines "";
  };
  # headscale's configuration, as its own example has it.
  headscale = set {
    server_url = with' types.str "http://127.0.0.1:8080";
    tls_cert_path = with' (types.nullOr types.path) null;
    tls_key_path = with' (types.nullOr types.path) null;
    metrics_listen_addr = with' types.str "127.0.0.1:9090";
    disable_check_updates = flag;
    prefixes = {
      v4 = with' types.str "100.64.0.0/10";
      v6 = with' types.str "fd7a:115c:a1e0::/48";
      allocation = with' (types.enum [
        "sequential"
        "random"
      ]) "sequential";
    };
    database = {
      type = with' (types.enum [
        "sqlite"
        "sqlite3"
        "postgres"
      ]) "sqlite";
      sqlite.path = with' (types.nullOr types.str) null;
      sqlite.write_ahead_log = with' types.bool true;
    };
    dns = {
      magic_dns = with' types.bool true;
      base_domain = with' types.str "";
      override_local_dns = with' types.bool true;
      nameservers.global = with' (types.listOf types.str) [ ];
    };
    derp = {
      server.enabled = flag;
      urls = with' (types.listOf types.str) [ ];
      paths = with' (types.listOf types.path) [ ];
      auto_update_enabled = with' types.bool true;
    };
    policy = {
      mode = with' (types.enum [
        "file"
        "database"
      ]) "file";
      path = with' (types.nullOr types.path) null;
    };
    logtail.enabled = flag;
  };
in
{
  options = {
    assertions = with' (types.listOf (set {
      assertion = of types.bool;
      message = of types.str;
    })) [ ];
    networking = {
      hostName = with' types.str "nixos";
      usePredictableInterfaceNames = with' types.bool true;
      useDHCP = with' types.bool true;
      interfaces = with' (types.attrsOf (set {
        ipv4.addresses = with' (types.listOf address) [ ];
        useDHCP = with' (types.nullOr types.bool) null;
      })) { };
      defaultGateway = with' (types.nullOr (set {
        address = of types.str;
        interface = with' (types.nullOr types.str) null;
      })) null;
      nameservers = with' (types.listOf types.str) [ ];
      firewall = {
        enable = with' types.bool true;
        allowPing = with' types.bool true;
        allowedTCPPorts = with' (types.listOf types.port) [ ];
        interfaces = with' (types.attrsOf (set {
          allowedTCPPorts = with' (types.listOf types.port) [ ];
        })) { };
      };
      resolvconf.enable = with' types.bool true;
      dhcpcd.extraConfig = with' types.lines "";
      nftables = {
        enable = flag;
        rulesetFile = with' (types.nullOr types.path) null;
      };
    };
    services = {
      openssh = {
        enable = flag;
        hostKeys = with' (types.listOf (set {
          path = of types.str;
          type = of types.str;
        })) [ ];
        settings = with' (types.attrsOf types.anything) { };
      };
      headscale = {
        enable = flag;
        address = with' types.str "127.0.0.1";
        port = with' types.port 8080;
        settings = with' headscale { };
      };
      tailscale = {
        enable = flag;
        port = with' types.port 41641;
        openFirewall = flag;
        package = with' types.package pkgs.tailscale;
      };
      dnsmasq = {
        enable = flag;
        settings = with' (types.attrsOf types.anything) { };
      };
    };
    systemd.services = with' (types.attrsOf unit) { };
    systemd.tmpfiles.rules = with' (types.listOf types.str) [ ];
    environment.systemPackages = with' (types.listOf types.package) [ ];
    security.pki.certificateFiles = with' (types.listOf types.path) [ ];
    environment.etc = with' (types.attrsOf (set {
      source = of types.path;
      mode = with' types.str "symlink";
    })) { };
    users.users = with' (types.attrsOf (set {
      isSystemUser = flag;
      group = with' types.str "";
    })) { };
    users.groups = with' (types.attrsOf (set {
      gid = with' (types.nullOr types.int) null;
    })) { };
    fileSystems = with' (types.attrsOf (set {
      device = of types.str;
      fsType = of types.str;
      options = with' (types.listOf types.str) [ "defaults" ];
    })) { };
    boot.loader.grub.enable = with' types.bool true;
    boot.kernelModules = with' (types.listOf types.str) [ ];
    boot.initrd.availableKernelModules = with' (types.listOf types.str) [ ];
    boot.kernel.sysctl = with' (types.attrsOf types.anything) { };
    virtualisation.interfaces = with' (types.attrsOf (set {
      vlan = of types.int;
      assignIP = with' types.bool true;
    })) { };
    system.build = with' (types.attrsOf types.anything) { };
    system.stateVersion = with' types.str "25.05";
  };
}
