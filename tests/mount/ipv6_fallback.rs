//! A host whose IPv6 address does not work.

use std::net::{Ipv6Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use meetfs::demo_cloud::{Archive, DemoCloudOptions};
use nix::sched::CloneFlags;
use socket2::{Domain, Socket, Type};

use crate::support::processes::kill_process;
use crate::support::{COMMAND_TIMEOUT, DROP_OTHER_MOUNTS, Rig, run, started_by, text, wait_until};

/// The address that does not work. It belongs to the interface of the test.
const ADDRESS: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

/// Well above the second that a user accepts, because the machine can be busy. Without a second
/// address, a connection attempt takes ten seconds.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Mounts with a hosts file that replaces the one of the machine, and prints the name's first
/// address, the milliseconds until the mount was ready, and its files.
const SCRIPT: &str = "mount --bind \"$0\" /etc/hosts
getent ahosts localhost | sed -n '1s/ .*//p'
start=$(date +%s%3N)
\"$@\" >&2
echo $(($(date +%s%3N) - start))
eval \"cd \\\"\\${$#}\\\"\"
ls acme/*/*";

/// Creates a rig in a network of its own, whose API is at `localhost`.
fn rig_with_names() -> Rig {
    nix::sched::unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace, which needs root");
    for line in ["link set lo up", "-6 address add 2001:db8::1/128 dev lo nodad"] {
        let output = run(Command::new("ip").args(line.split(' ')), COMMAND_TIMEOUT);
        assert!(output.status.success(), "{}", text(&output));
    }
    let archive = Archive::with_meetings(3, 20);
    let rig = Rig::new(DemoCloudOptions { archive, ..DemoCloudOptions::default() });
    rig.write_config(&rig.config().replace("127.0.0.1", "localhost"));
    rig
}

/// Mounts, and asserts that the mount is ready in time. `first_address` is the address that the
/// client prefers.
fn assert_mounts_in_time(rig: &Rig, hosts: &str, first_address: &str) {
    // With a stored listing, a mount is ready before it has listed.
    let _absent_at_first = std::fs::remove_dir_all(rig.directory.path().join("cache"));
    let hosts_file = rig.directory.path().join("hosts");
    std::fs::write(&hosts_file, hosts).expect("a hosts file");
    let hosts_file = hosts_file.to_str().expect("a path");
    // The mount is in a mount namespace of its own, and ends with its daemon.
    let script = format!("{DROP_OTHER_MOUNTS}{SCRIPT}");
    let starter = ["unshare", "--mount", "--", "sh", "-ec", &script, hosts_file];
    let output = run(&mut started_by(&starter, &rig.mount_command()), COMMAND_TIMEOUT);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<&str> = printed.lines().collect();
    let report = || format!("{}\n{}", text(&output), rig.log());
    assert!(output.status.success() && lines.len() > 2, "{}", report());
    // An IPv4 address can be shown as a mapped one.
    assert!(lines[0].ends_with(first_address), "{}", report());
    let elapsed = Duration::from_millis(lines[1].parse().expect("a number"));
    eprintln!("{first_address}: mounted after {elapsed:?}");
    assert!(elapsed < TIMEOUT, "{elapsed:?}\n{}", report());
    assert!(printed.contains("chat.txt"), "{}", report());
    kill_process(rig.daemon().expect("a daemon"));
    wait_until(COMMAND_TIMEOUT, "the daemon has exited", || rig.daemon().is_none());
}

#[test]
fn silent_ipv6_address_does_not_delay_a_mount() {
    let rig = rig_with_names();
    assert_mounts_in_time(&rig, "127.0.0.1 localhost\n", "127.0.0.1");
    // The queue of the listener is full, so the kernel drops further connection attempts.
    let url: url::Url = rig.cloud.api_url().parse().expect("a URL");
    let address = SocketAddr::from((ADDRESS, url.port().expect("a port")));
    let listener = Socket::new(Domain::IPV6, Type::STREAM, None).expect("a socket");
    listener.bind(&address.into()).expect("an address");
    listener.listen(0).expect("a listener");
    let mut connections = Vec::new();
    for _ in 0..8 {
        let connection = Socket::new(Domain::IPV6, Type::STREAM, None).expect("a socket");
        connection.set_nonblocking(true).expect("a socket");
        let _in_progress = connection.connect(&address.into());
        connections.push(connection);
    }
    let hosts = "2001:db8::1 localhost\n127.0.0.1 localhost\n";
    assert_mounts_in_time(&rig, hosts, "2001:db8::1");
}

#[test]
fn refusing_ipv6_address_does_not_delay_a_mount() {
    let rig = rig_with_names();
    let hosts = "2001:db8::1 localhost\n127.0.0.1 localhost\n";
    assert_mounts_in_time(&rig, hosts, "2001:db8::1");
}
