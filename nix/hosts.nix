# The hosts of the topology as NixOS modules: the control server and the clients, where the inventory has them.
{
  lib,
  topology,
  modules,
}:

let
  secrets = "/var/lib/meshctl";

  # Every host has its name, its address and a login with the key.
  common =
    name: host:
    { lib, ... }:
    {
      networking = {
        hostName = name;
        usePredictableInterfaceNames = false;
        useDHCP = false;
        interfaces.eth0.ipv4.addresses = [
          { inherit (host) address prefixLength; }
        ];
        defaultGateway = lib.mkIf (host.gateway != null) {
          address = host.gateway;
          interface = "eth0";
        };
        nameservers = [ topology.resolver ];
        firewall.allowPing = true;
      };
      services.openssh = {
        enable = true;
        settings = {
          PasswordAuthentication = false;
          PermitRootLogin = "prohibit-password";
        };
      };
      # Replace this for real hosts; a virtual machine needs none.
      fileSystems."/" = lib.mkDefault {
        device = "/dev/vda";
        fsType = "ext4";
      };
      boot.loader.grub.enable = lib.mkDefault false;
      system.stateVersion = lib.mkDefault "25.05";
    };

  relays = lib.mapAttrsToList (_: host: {
    name = builtins.head host.names;
    inherit (host) address;
    region = "Lab";
  }) (lib.filterAttrs (_: host: host.group == "relays") topology.hosts);

  server = {
    imports = [ modules.headscale-server ];
    meshctl.headscaleServer = {
      enable = true;
      url = topology.serverUrl;
      inherit (topology) domain;
      tlsCertificate = "${secrets}/tls/cert.pem";
      tlsKey = "${secrets}/tls/key.pem";
      nameservers = [ topology.resolver ];
      inherit relays;
    };
  };

  client = host: {
    imports = [ modules.tailscale-client ];
    meshctl.tailscaleClient = {
      enable = true;
      loginServer = topology.serverUrl;
      inherit (host) port;
      authKeyFile = "${secrets}/auth-key";
    };
  };

  # The service of US3, on the mesh address alone, which only the running node knows.
  service =
    { pkgs, ... }:
    {
      systemd.services.mesh-service = {
        description = "A web service on the mesh address";
        wantedBy = [ "multi-user.target" ];
        after = [ "tailscaled.service" ];
        startLimitIntervalSec = 0;
        path = [
          pkgs.iproute2
          pkgs.jq
          pkgs.nginx
        ];
        serviceConfig = {
          DynamicUser = true;
          RuntimeDirectory = "mesh-service";
          AmbientCapabilities = [ "CAP_NET_BIND_SERVICE" ];
          Restart = "always";
          RestartSec = 1;
        };
        script = ''
          until address=$(ip -json -4 address show dev tailscale0 | jq --exit-status --raw-output '.[0].addr_info[0].local'); do
            sleep 0.2
          done
          cat > "$RUNTIME_DIRECTORY/nginx.conf" <<END
          daemon off;
          pid $RUNTIME_DIRECTORY/nginx.pid;
          error_log stderr;
          events {}
          http {
            access_log off;
            default_type text/plain;
            client_body_temp_path $RUNTIME_DIRECTORY/body;
            proxy_temp_path $RUNTIME_DIRECTORY/proxy;
            fastcgi_temp_path $RUNTIME_DIRECTORY/fastcgi;
            uwsgi_temp_path $RUNTIME_DIRECTORY/uwsgi;
            scgi_temp_path $RUNTIME_DIRECTORY/scgi;
            server {
              listen $address:80;
              location / { return 200 "meshctl: ${serviceHost} serves this over the mesh\\n"; }
            }
          }
          END
          exec nginx -e stderr -c "$RUNTIME_DIRECTORY/nginx.conf"
        '';
      };
      networking.firewall.interfaces.tailscale0.allowedTCPPorts = [ 80 ];
    };

  serviceHost = builtins.head (members "clients");

  members = group: builtins.attrNames (lib.filterAttrs (_: host: host.group == group) topology.hosts);

  one = name: host: {
    imports = [
      (common name host)
    ]
    ++ lib.optional (host.group == "headscale") server
    ++ lib.optional (host.group == "clients") (client host)
    ++ lib.optional (name == serviceHost) service;
  };
in
lib.mapAttrs one (
  lib.filterAttrs (
    _: host:
    builtins.elem host.group [
      "headscale"
      "clients"
    ]
  ) topology.hosts
)
