# A node of the mesh: tailscaled, and a service that joins with a key from a file.
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

  cfg = config.meshctl.tailscaleClient;
in
{
  options.meshctl.tailscaleClient = {
    enable = mkEnableOption "a node of the mesh";

    loginServer = mkOption {
      type = types.str;
      example = "https://headscale.example.org";
      description = "The control server.";
    };

    hostname = mkOption {
      type = types.str;
      default = config.networking.hostName;
      defaultText = lib.literalExpression "config.networking.hostName";
      description = "Name of the node in the mesh.";
    };

    authKeyFile = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "/var/lib/secrets/mesh-key";
      description = ''
        Path, on the node, of a file with a preauthkey. The node waits for it, and reads it only while it is no member:
        it may be removed afterwards. Without a path nothing joins by itself.
      '';
    };

    port = mkOption {
      type = types.port;
      default = 41641;
      description = "UDP port of WireGuard. Two nodes behind one router need two: only one of them could keep it.";
    };

    acceptDns = mkOption {
      type = types.bool;
      default = true;
      description = "Whether the node resolves names with MagicDNS.";
    };

    retrySeconds = mkOption {
      type = types.ints.positive;
      default = 5;
      description = "How long to wait before another try to join.";
    };

    openFirewall = mkOption {
      type = types.bool;
      default = true;
      description = "Whether to open the port of WireGuard, for direct paths.";
    };
  };

  config = mkIf cfg.enable {
    assertions = [
      {
        assertion = lib.hasPrefix "https://" cfg.loginServer;
        message = "meshctl.tailscaleClient.loginServer is '${cfg.loginServer}': it must begin with https://";
      }
      {
        assertion = builtins.match "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?" cfg.hostname != null;
        message = "meshctl.tailscaleClient.hostname '${cfg.hostname}' is no name for a node: use lower-case letters, digits and '-'";
      }
      {
        assertion = cfg.authKeyFile == null || !(lib.hasPrefix "/nix/store/" cfg.authKeyFile);
        message = "meshctl.tailscaleClient.authKeyFile is in the store, where every user can read it";
      }
    ];

    services.tailscale = {
      enable = true;
      inherit (cfg) port openFirewall;
    };

    # The mesh has a private control server, so nothing is sent to Tailscale.
    systemd.services.tailscaled.environment = {
      TS_NO_LOGS_NO_SUPPORT = "true";
      TS_DEBUG_FIREWALL_MODE = "nftables";
    };

    systemd.services.meshctl-join = mkIf (cfg.authKeyFile != null) {
      description = "Join the mesh";
      wantedBy = [ "multi-user.target" ];
      wants = [ "network-online.target" ];
      after = [
        "network-online.target"
        "tailscaled.service"
      ];
      requires = [ "tailscaled.service" ];
      startLimitIntervalSec = 0;
      path = [
        config.services.tailscale.package
        pkgs.jq
      ];
      serviceConfig = {
        Type = "oneshot";
        RemainAfterExit = true;
        Restart = "on-failure";
        RestartSec = cfg.retrySeconds;
      };
      # Fails while it cannot join, and is restarted; a node that has joined is not changed. The key is never an argument.
      script = ''
        case $(tailscale status --json --peers=false | jq --raw-output .BackendState) in
          Running) exit 0 ;;
          Stopped) exec tailscale up --timeout=30s ;;
          NeedsLogin) ;;
          *) echo "tailscaled is not ready yet"; exit 1 ;;
        esac
        if [ ! -s ${lib.escapeShellArg cfg.authKeyFile} ]; then
          echo "waiting for the key in "${lib.escapeShellArg cfg.authKeyFile}
          exit 1
        fi
        exec tailscale up --timeout=30s --reset \
          --login-server=${lib.escapeShellArg cfg.loginServer} \
          --hostname=${lib.escapeShellArg cfg.hostname} \
          --accept-dns=${lib.boolToString cfg.acceptDns} \
          --auth-key=file:${lib.escapeShellArg cfg.authKeyFile}
      '';
    };
  };
}
