# A Headscale control server with MagicDNS, SQLite, TLS and the mesh's own relays.
{
  config,
  lib,
  pkgs,
  ...
}:

let
  inherit (lib)
    mkEnableOption
    mkIf
    mkOption
    types
    ;

  cfg = config.meshctl.headscaleServer;

  relay = types.submodule {
    options = {
      name = mkOption {
        type = types.str;
        example = "relay.example.org";
        description = "Name of the relay, which its certificate holds.";
      };
      address = mkOption {
        type = types.str;
        example = "203.0.113.10";
        description = "IPv4 address of the relay, where every node reaches it.";
      };
      port = mkOption {
        type = types.port;
        default = 443;
        description = "Port of DERP over HTTPS.";
      };
      stunPort = mkOption {
        type = types.port;
        default = 3478;
        description = "UDP port of STUN.";
      };
      region = mkOption {
        type = types.str;
        default = "Mesh";
        description = "Name of the relay's region.";
      };
    };
  };

  # One region for each relay, from 900: lower numbers are those of Tailscale's own.
  derpMap = {
    regions = builtins.listToAttrs (
      lib.imap0 (index: entry: {
        name = toString (900 + index);
        value = {
          regionid = 900 + index;
          regioncode = "mesh${toString index}";
          regionname = entry.region;
          nodes = [
            {
              name = "${toString (900 + index)}a";
              regionid = 900 + index;
              hostname = entry.name;
              ipv4 = entry.address;
              derpport = entry.port;
              stunport = entry.stunPort;
            }
          ];
        };
      }) cfg.relays
    );
  };

  host = builtins.head (lib.splitString "/" (lib.removePrefix "https://" cfg.url));
in
{
  options.meshctl.headscaleServer = {
    enable = mkEnableOption "the mesh's Headscale control server";

    url = mkOption {
      type = types.str;
      example = "https://headscale.example.org";
      description = "URL at which nodes reach the server. Use HTTPS: with plain HTTP a node never recovers from a restart of the server.";
    };

    address = mkOption {
      type = types.str;
      default = "0.0.0.0";
      description = "Address that the server listens on.";
    };

    port = mkOption {
      type = types.port;
      default = 443;
      description = "Port that the server listens on.";
    };

    tlsCertificate = mkOption {
      type = types.str;
      example = "/var/lib/secrets/headscale.pem";
      description = "Path, on the server, of the certificate for the host of {option}`meshctl.headscaleServer.url`.";
    };

    tlsKey = mkOption {
      type = types.str;
      example = "/var/lib/secrets/headscale.key";
      description = "Path, on the server, of the certificate's key, which the group `headscale` must be able to read. Not a path in the store, which every user can read.";
    };

    domain = mkOption {
      type = types.str;
      default = "mesh.internal";
      description = "Domain of the nodes' names in MagicDNS; not the domain of the server itself.";
    };

    magicDns = mkOption {
      type = types.bool;
      default = true;
      description = "Whether nodes resolve each other's names.";
    };

    nameservers = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "9.9.9.9" ];
      description = "Resolvers that nodes ask for all other names; their own when there are none.";
    };

    relays = mkOption {
      type = types.listOf relay;
      default = [ ];
      description = "The DERP relays of the mesh; it has no others. Nodes that find no direct path need one.";
    };

    policy = mkOption {
      type = types.nullOr types.path;
      default = null;
      description = "Policy file (HuJSON). Without it the policy is in the database, where `headscale policy set` and the API change it.";
    };

    prefixes = {
      v4 = mkOption {
        type = types.str;
        default = "100.64.0.0/10";
        description = "Prefix of the nodes' IPv4 addresses.";
      };
      v6 = mkOption {
        type = types.str;
        default = "fd7a:115c:a1e0::/48";
        description = "Prefix of the nodes' IPv6 addresses.";
      };
    };

    openFirewall = mkOption {
      type = types.bool;
      default = true;
      description = "Whether to open the server's port.";
    };
  };

  config = mkIf cfg.enable {
    assertions = [
      {
        assertion = lib.hasPrefix "https://" cfg.url;
        message = "meshctl.headscaleServer.url is '${cfg.url}': it must begin with https://";
      }
      {
        assertion = cfg.magicDns -> cfg.domain != "";
        message = "meshctl.headscaleServer.domain is empty: MagicDNS needs a domain";
      }
      {
        assertion = !(cfg.domain != "" && (host == cfg.domain || lib.hasSuffix ".${cfg.domain}" host));
        message = "meshctl.headscaleServer.domain '${cfg.domain}' holds the server's own name '${host}': nodes could not reach the server before they have joined";
      }
      {
        assertion = cfg.relays != [ ];
        message = "meshctl.headscaleServer.relays is empty: headscale does not start without a relay";
      }
      {
        assertion = !(lib.hasPrefix "/nix/store/" cfg.tlsKey);
        message = "meshctl.headscaleServer.tlsKey '${cfg.tlsKey}' is in the store, where every user can read it";
      }
    ];

    services.headscale = {
      enable = true;
      inherit (cfg) address port;
      settings = {
        server_url = cfg.url;
        tls_cert_path = cfg.tlsCertificate;
        tls_key_path = cfg.tlsKey;
        metrics_listen_addr = "127.0.0.1:9090";
        disable_check_updates = true;
        prefixes = {
          inherit (cfg.prefixes) v4 v6;
          allocation = "sequential";
        };
        database = {
          type = "sqlite";
          sqlite.path = "/var/lib/headscale/db.sqlite";
          sqlite.write_ahead_log = true;
        };
        dns = {
          magic_dns = cfg.magicDns;
          base_domain = cfg.domain;
          override_local_dns = cfg.nameservers != [ ];
          nameservers.global = cfg.nameservers;
        };
        derp = {
          server.enabled = false;
          urls = [ ];
          paths = [ "${pkgs.writeText "derp.json" (builtins.toJSON derpMap)}" ];
          auto_update_enabled = false;
        };
        policy =
          if cfg.policy == null then
            { mode = "database"; }
          else
            {
              mode = "file";
              path = "${cfg.policy}";
            };
        logtail.enabled = false;
      };
    };

    # Ports below 1024 without being root.
    systemd.services.headscale.serviceConfig = mkIf (cfg.port < 1024) {
      AmbientCapabilities = [ "CAP_NET_BIND_SERVICE" ];
      CapabilityBoundingSet = [ "CAP_NET_BIND_SERVICE" ];
    };

    networking.firewall.allowedTCPPorts = mkIf cfg.openFirewall [ cfg.port ];
  };
}
