# US1 to US4 on NixOS machines: the stories of this project, run by a controller over ssh, against hosts that these
# modules made. Run by `nix flake check ./nix`, or alone: `nix build ./nix#checks.x86_64-linux.stories`.
{
  pkgs,
  lib,
  topology,
  modules,
  project,
}:

let
  hosts = import ../hosts.nix { inherit lib topology modules; };
  relayName = builtins.head (
    builtins.attrNames (lib.filterAttrs (_: h: h.group == "relays") topology.hosts)
  );
  clients = builtins.attrNames (lib.filterAttrs (_: h: h.group == "clients") topology.hosts);
  server = builtins.head (
    builtins.attrNames (lib.filterAttrs (_: h: h.group == "headscale") topology.hosts)
  );

  # Networks of the test driver: 1 is the WAN, then one for each subnet, and the last for the controller's ssh.
  vlans =
    lib.listToAttrs (
      lib.imap0 (index: name: lib.nameValuePair name (index + 2)) (builtins.attrNames topology.subnets)
    )
    // {
      wan = 1;
    };
  management = 9;
  managementAddress = index: "172.31.9.${toString (10 + index)}";

  # An authority, a certificate for each name, and the controller's key. Of this test alone, and public.
  secrets =
    pkgs.runCommand "mesh-test-secrets"
      {
        nativeBuildInputs = [
          pkgs.openssl
          pkgs.openssh
        ];
      }
      ''
        mkdir $out && cd $out
        ssh-keygen -q -t ed25519 -N "" -C controller -f ssh
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 \
          -subj "/CN=mesh test" -keyout ca.key -out ca.pem
        for name in ${toString (builtins.attrNames topology.names)}; do
          openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$name" -keyout $name.key -out $name.csr
          printf 'subjectAltName=DNS:%s\n' $name > $name.ext
          openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 3650 -extfile $name.ext -out $name.pem
        done
      '';

  wire =
    index: networks:
    { lib, ... }:
    {
      # The driver assigns other addresses; these are the topology's.
      virtualisation.interfaces =
        lib.listToAttrs (
          map (
            network:
            lib.nameValuePair network.interface {
              vlan = network.vlan;
              assignIP = false;
            }
          ) networks
        )
        // {
          mgmt = {
            vlan = management;
            assignIP = false;
          };
        };
      networking.interfaces =
        lib.listToAttrs (
          map (
            network:
            lib.nameValuePair network.interface {
              ipv4.addresses = lib.mkForce [ { inherit (network) address prefixLength; } ];
            }
          ) networks
        )
        // {
          mgmt.ipv4.addresses = lib.mkForce [
            {
              address = managementAddress index;
              prefixLength = 24;
            }
          ];
        };
      networking.useDHCP = lib.mkForce false;
      security.pki.certificateFiles = [ "${secrets}/ca.pem" ];
      services.openssh.enable = true;
      environment.etc."ssh/authorized_keys.d/root" = {
        source = "${secrets}/ssh.pub";
        mode = "0444";
      };
      environment.systemPackages = [ pkgs.python3 ];
      systemd.tmpfiles.rules = [ "L+ /usr/bin/python3 - - - - ${pkgs.python3}/bin/python3" ];
    };

  member =
    index: name:
    let
      host = topology.hosts.${name};
    in
    {
      imports = [
        hosts.${name}
        (wire index [
          {
            interface = "eth0";
            vlan = vlans.${host.subnet};
            inherit (host) address prefixLength;
          }
        ])
      ];
      networking.firewall.interfaces.mgmt.allowedTCPPorts = [ 22 ];
      systemd.tmpfiles.rules = lib.optionals (host.group == "headscale") [
        "d /var/lib/meshctl/tls 0750 root headscale - -"
        "C /var/lib/meshctl/tls/cert.pem 0644 root root - ${secrets}/${builtins.head host.names}.pem"
        "C /var/lib/meshctl/tls/key.pem 0640 root headscale - ${secrets}/${builtins.head host.names}.key"
      ];
    };

  router = index: subnet: {
    imports = [
      (wire index [
        {
          interface = "wan";
          vlan = vlans.wan;
          address = subnet.wanAddress;
          inherit (topology.wan) prefixLength;
        }
        {
          interface = "lan";
          vlan = vlans.${subnet.name};
          address = subnet.gateway;
          inherit (subnet) prefixLength;
        }
      ])
    ];
    boot.kernel.sysctl."net.ipv4.ip_forward" = 1;
    networking.firewall.enable = false;
    networking.nftables = {
      enable = true;
      # The rules of the embedded lab, so that NAT is the same.
      rulesetFile = pkgs.writeText "router.nft" subnet.rules;
    };
  };

  relay = index: {
    imports = [
      (wire index [
        {
          interface = "eth0";
          vlan = vlans.wan;
          address = topology.hosts.${relayName}.address;
          inherit (topology.wan) prefixLength;
        }
      ])
    ];
    networking.firewall.enable = false;
    services.dnsmasq = {
      enable = true;
      settings = {
        no-resolv = true;
        no-hosts = true;
        local = "/#/";
        host-record = lib.mapAttrsToList (name: address: "${name},${address}") topology.names;
      };
    };
    systemd.services.derper = {
      wantedBy = [ "multi-user.target" ];
      script =
        let
          name = builtins.head topology.hosts.${relayName}.names;
        in
        ''
          mkdir -p /run/derper
          cp ${secrets}/${name}.pem /run/derper/${name}.crt
          cp ${secrets}/${name}.key /run/derper/${name}.key
          exec ${pkgs.tailscale.derper or pkgs.tailscale}/bin/derper -c=/run/derper/key -hostname=${name} \
            -certmode=manual -certdir=/run/derper -a=:443 -http-port=-1 -stun
        '';
    };
  };

  everyone = [ server ] ++ clients;
  address = name: managementAddress (lib.lists.findFirstIndex (other: other == name) 0 everyone);

  inventory = (pkgs.formats.yaml { }).generate "inventory.yml" {
    all = {
      vars = {
        mesh_backend = "hosts";
        mesh_manage = false;
        mesh_allow_disruptive = true;
        mesh_server_url = topology.serverUrl;
        mesh_domain = topology.domain;
        mesh_api_key_file = "/var/lib/headscale/meshctl_api_key";
        mesh_outside_names = topology.outsideNames;
        ansible_user = "root";
        ansible_python_interpreter = "${pkgs.python3}/bin/python3";
        ansible_ssh_private_key_file = "/root/ssh";
        ansible_host_key_checking = false;
        mesh_wan = { inherit (topology.wan) cidr; };
        mesh_subnets = lib.mapAttrs (_: subnet: {
          inherit (subnet) cidr nat gateway;
          wan_address = subnet.wanAddress;
        }) topology.subnets;
      };
      children =
        lib.mapAttrs
          (_: names: {
            hosts = lib.genAttrs names (name: {
              ansible_host = address name;
              mesh_subnet = topology.hosts.${name}.subnet;
              mesh_address = topology.hosts.${name}.address;
            });
          })
          {
            headscale = [ server ];
            inherit clients;
          };
    };
  };

  python = pkgs.python3.withPackages (
    ps: with ps; [
      ansible-core
      ansible-runner
      jmespath
      jsonschema
      junitparser
      rich
      trustme
      typer
      pyyaml
    ]
  );
in
pkgs.testers.runNixOSTest {
  name = "meshctl-stories";

  nodes =
    lib.listToAttrs (lib.imap0 (index: name: lib.nameValuePair name (member index name)) everyone)
    // lib.listToAttrs (
      lib.imap0 (
        index: name:
        lib.nameValuePair topology.subnets.${name}.router (
          router (20 + index) (topology.subnets.${name} // { inherit name; })
        )
      ) (builtins.attrNames topology.subnets)
    )
    // {
      ${relayName} = relay 30;
      controller = {
        imports = [ (wire 40 [ ]) ];
        environment.systemPackages = [
          python
          pkgs.openssh
        ];
      };
    };

  testScript = ''
    start_all()
    ${relayName}.wait_for_unit("derper.service")
    server = next(machine for machine in machines if machine.name == "${server}")
    server.wait_for_unit("headscale.service")
    server.wait_until_succeeds("headscale users create default || headscale users list | grep -q default")
    key = server.succeed("headscale preauthkeys create --user 1 --reusable --expiration 1h").strip().splitlines()[-1]
    server.succeed("umask 077 && headscale apikeys create --expiration 1d > /var/lib/headscale/meshctl_api_key")

    for machine in machines:
        if machine.name in ${builtins.toJSON clients}:
            machine.succeed(f"umask 077 && mkdir -p /var/lib/meshctl && printf %s '{key}' > /var/lib/meshctl/auth-key")
    for machine in machines:
        if machine.name in ${builtins.toJSON clients}:
            machine.wait_for_unit("meshctl-join.service")

    controller.succeed("install -m 600 ${secrets}/ssh /root/ssh", "cp -r ${project} /root/meshctl")
    with subtest("US1 to US4"):
        print(controller.succeed(
            "cd /root/meshctl && ANSIBLE_HOST_KEY_CHECKING=False MESHCTL_RUNS_DIR=/tmp/runs"
            " ansible-playbook -i ${inventory} -e mesh_deploy=false playbooks/all.yml 2>&1"
        ))
    controller.copy_from_vm("/tmp/runs")
  '';
}
