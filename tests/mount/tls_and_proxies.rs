//! Certificates of private authorities, and HTTP proxies.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use meetfs::demo_cloud::{Archive, DemoCloudOptions};

use crate::support::relay::{Proxy, TlsServer};
use crate::support::{COMMAND_TIMEOUT, Rig, run, text};

const LENGTH: u64 = 3_000_000;

/// `user:pa%73s` in base64 after decoding the percent sequence.
const AUTHORIZATION: &str = "Basic dXNlcjpwYXNz";

struct TlsRig {
    rig: Rig,
    server: TlsServer,
}

impl TlsRig {
    fn new() -> Self {
        let archive = Archive::with_pattern_files(&[("film", LENGTH)]);
        let rig = Rig::new(DemoCloudOptions { archive, ..DemoCloudOptions::default() });
        let server = TlsServer::start(&rig.cloud);
        std::fs::write(rig.directory.path().join("authority.pem"), &server.authority)
            .expect("a certificate");
        Self { rig, server }
    }

    /// Writes a configuration whose API has the certificate of the private authority.
    fn write_config(&self, first_line: &str) {
        let (old, new) = (self.rig.cloud.api_url(), &self.server.url);
        let old_key = format!("api_url = \"{old}");
        let config = self.rig.config().replace(&old_key, &format!("api_url = \"{new}"));
        self.rig.write_config(&format!("{first_line}\n{config}"));
    }

    fn mount(&self, prepare: impl FnOnce(&mut Command)) -> std::process::Output {
        let mut command = self.rig.mount_command();
        command.arg("--require-online");
        prepare(&mut command);
        run(&mut command, COMMAND_TIMEOUT)
    }

    fn assert_film_is_exact(&self) {
        let expected = self.rig.cloud.objects().first().expect("an object").sha256();
        let output = self.rig.shell("sha256sum < acme/*/*/*.mp4");
        assert!(output.starts_with(&expected), "{output}");
    }
}

#[test]
fn private_authority_is_trusted_with_ca_file() {
    let setup = TlsRig::new();
    setup.write_config("");
    let output = setup.mount(|_| {});
    assert!(!output.status.success());
    assert!(text(&output).contains("ca_file"), "{}", text(&output));
    setup.write_config("ca_file = \"authority.pem\"");
    let output = setup.mount(|_| {});
    assert!(output.status.success(), "{}\n{}", text(&output), setup.rig.log());
    setup.assert_film_is_exact();
}

#[test]
fn invalid_ca_file_is_explained() {
    let setup = TlsRig::new();
    let path = setup.rig.directory.path().join("authority.pem");
    let refuse = |reason: &str| {
        setup.write_config("ca_file = \"authority.pem\"");
        let output = setup.mount(|_| {});
        let message = text(&output);
        assert!(!output.status.success(), "{message}");
        assert!(message.contains("`ca_file`") && message.contains(reason), "{message}");
    };
    let set_mode = |mode| {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("a mode");
    };
    // Another user could add an authority.
    set_mode(0o666);
    refuse("other users can change it");
    set_mode(0o644);
    std::fs::write(&path, "no certificate\n").expect("a file");
    refuse("PEM");
    std::fs::write(&path, setup.server.authority.replace("MII", "AAA")).expect("a file");
    refuse("PEM");
    std::fs::remove_file(&path).expect("a file");
    refuse("No such file");
}

#[test]
fn requests_use_the_proxy_of_the_environment() {
    let setup = TlsRig::new();
    let proxy = Proxy::start(Some(AUTHORIZATION));
    setup.write_config("ca_file = \"authority.pem\"");
    let url = format!("http://user:pa%73s@{}", proxy.address);
    let output = setup.mount(|command| {
        command.env("HTTPS_PROXY", &url);
    });
    assert!(output.status.success(), "{}\n{}", text(&output), setup.rig.log());
    setup.assert_film_is_exact();
    let target = setup.server.address;
    let heads = proxy.heads();
    assert!(!heads.is_empty(), "the proxy is not used");
    assert!(heads.iter().all(|head| head.starts_with(&format!("CONNECT {target} "))), "{heads:?}");
    // The proxy sees only its own credential.
    let credentials = setup.rig.cloud.credentials();
    for secret in [credentials.client_id.as_str(), credentials.client_secret.as_str(), "earer"] {
        assert!(!heads.iter().any(|head| head.contains(secret)), "{heads:?}");
    }
}

#[test]
fn host_in_no_proxy_is_reached_directly() {
    let setup = TlsRig::new();
    let proxy = Proxy::start(None);
    setup.write_config("ca_file = \"authority.pem\"");
    let output = setup.mount(|command| {
        command.env("HTTPS_PROXY", format!("http://{}", proxy.address));
        command.env("NO_PROXY", "example.org,127.0.0.1");
    });
    assert!(output.status.success(), "{}\n{}", text(&output), setup.rig.log());
    setup.assert_film_is_exact();
    assert_eq!(proxy.heads(), Vec::<String>::new());
}

#[test]
fn refusal_of_a_proxy_does_not_show_its_password() {
    let setup = TlsRig::new();
    let proxy = Proxy::start(Some(AUTHORIZATION));
    setup.write_config("ca_file = \"authority.pem\"");
    let output = setup.mount(|command| {
        command.env("HTTPS_PROXY", format!("http://user:hunter2@{}", proxy.address));
    });
    let message = text(&output);
    assert!(!output.status.success(), "{message}");
    assert!(message.contains("proxy"), "{message}");
    for shown in [message, setup.rig.log()] {
        assert!(!shown.contains("hunter2") && !shown.contains("aHVudGVyMg"), "{shown}");
    }
}
