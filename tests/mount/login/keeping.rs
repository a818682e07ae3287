//! The file of a sign-in: where it is stored, who may read it, and how it is deleted.

use std::process::Command;

use meetfs::demo_cloud::UserApp;

use super::rig::{
    assert_exact, begin, browse, cloud, code_in, free_port, login_command, mount, redirect_url,
    sign_in, sign_in_files, url_in, write_config,
};
use crate::support::{COMMAND_TIMEOUT, Rig, mode_of, run, text};

#[test]
fn sign_out_deletes_file_and_prints_no_secret() {
    let rig = Rig::new(cloud(1));
    write_config(&rig, &UserApp::demo());
    let (mut login, address) = begin(&rig, free_port());
    let arguments = std::fs::read(format!("/proc/{}/cmdline", login.id())).expect("a process");
    let redirected_url = redirect_url(&address);
    browse(&redirected_url);
    assert_eq!(login.end(COMMAND_TIMEOUT).0.code(), Some(0));
    mount(&rig);
    assert_exact(&rig);
    let [file] = sign_in_files(&rig).try_into().expect("one sign-in");
    let kept: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&file).expect("a file")).expect("JSON");
    let arguments = String::from_utf8_lossy(&arguments).into_owned();
    let printed = format!("{arguments}\n{}\n{}\n{}", login.output(), rig.log(), rig.status());
    assert!(
        arguments.contains("login") && !printed.contains(&code_in(&redirected_url)),
        "{printed}"
    );
    for secret in ["refresh_token", "access_token"] {
        let secret = kept[secret].as_str().expect("a secret");
        assert!(!printed.contains(secret), "{printed}");
    }
    assert!(!printed.contains("demo-user-secret"), "{printed}");
    rig.unmount();
    let output = run(login_command(&rig, 1).arg("--forget"), COMMAND_TIMEOUT);
    assert!(
        output.status.success() && text(&output).contains("Signed out of acme"),
        "{}",
        text(&output)
    );
    assert!(sign_in_files(&rig).is_empty());
    let output = run(&mut rig.mount_command(), COMMAND_TIMEOUT);
    assert!(output.status.success(), "the stored list is mounted: {}", text(&output));
}

#[test]
fn unusable_directory_is_reported_before_the_browser_opens() {
    let rig = Rig::new(cloud(1));
    write_config(&rig, &UserApp::demo());
    let root = rig.directory.path();
    let file = root.join("a-file");
    std::fs::write(&file, "").expect("a file");
    let scratch = |name: &str, options: &str| {
        let directory = root.join(name);
        std::fs::create_dir(&directory).expect("a directory");
        let line = format!("mount -t tmpfs -o {options} scratch '{}'", directory.display());
        assert!(run(Command::new("sh").args(["-c", &line]), COMMAND_TIMEOUT).status.success());
        directory
    };
    let (read_only, full) = (scratch("read-only", "ro"), scratch("full", "size=16k"));
    let open = root.join("open/meetfs/sign-in");
    std::fs::create_dir_all(&open).expect("a directory");
    let chmod = run(Command::new("chmod").arg("777").arg(&open), COMMAND_TIMEOUT);
    assert!(chmod.status.success());
    for (place, expected) in [
        (file.clone(), "Not a directory"),
        (read_only.clone(), "Read-only file system"),
        (full.clone(), "No space left"),
        ("/proc".into(), "cannot use"),
        (root.join("open"), "chmod 700"),
    ] {
        let output =
            run(login_command(&rig, free_port()).env("XDG_STATE_HOME", &place), COMMAND_TIMEOUT);
        let message = text(&output);
        assert_eq!(output.status.code(), Some(1), "{}: {message}", place.display());
        assert!(
            message.contains("cannot store the sign-in") && message.contains("XDG_STATE_HOME"),
            "{message}"
        );
        assert!(message.contains(expected) && url_in(&message).is_none(), "{message}");
    }
    for place in [&read_only, &full] {
        assert!(run(Command::new("umount").arg(place), COMMAND_TIMEOUT).status.success());
    }
    let mut command_without_home = login_command(&rig, free_port());
    let output =
        run(command_without_home.env_remove("HOME").env_remove("XDG_STATE_HOME"), COMMAND_TIMEOUT);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    assert!(text(&output).contains("XDG_STATE_HOME"), "{}", text(&output));
    assert_eq!(rig.cloud.sign_in_counts().sign_ins, 0);
}

#[test]
fn exposed_or_damaged_sign_in_is_not_used() {
    let rig = Rig::new(cloud(1));
    write_config(&rig, &UserApp::demo());
    sign_in(&rig);
    let [file] = sign_in_files(&rig).try_into().expect("one sign-in");
    let directory = file.parent().expect("a directory").to_owned();
    let quoted = |path: &std::path::Path| format!("'{}'", path.display());
    let (at, kept, place) =
        (quoted(&file), quoted(&file.with_extension("kept")), quoted(&directory));
    let shell = |line: &str| {
        let output = run(Command::new("sh").args(["-c", line]), COMMAND_TIMEOUT);
        assert!(output.status.success(), "{line}: {}", text(&output));
    };
    shell(&format!("cp -p {at} {kept}"));
    for (damage, words) in [
        (format!("chmod 644 {at}"), "chmod 600"),
        (format!("chmod 620 {at}"), "chmod 600"),
        (format!("chown 65534 {at}"), "chmod 600"),
        (format!("rm {at}; ln -s {kept} {at}"), "cannot use"),
        (format!("rm {at}; mkfifo -m 600 {at}"), "damaged"),
        (format!("rm {at}; mkdir -m 700 {at}"), "cannot use"),
        (format!("head -c 40 {kept} > {at}"), "damaged"),
        (
            format!("sed -i 's/\"refresh_token\": \"[^\"]*\"/\"refresh_token\": \"\"/' {at}"),
            "damaged",
        ),
    ] {
        shell(&damage);
        let output = run(rig.mount_command().arg("--require-online"), COMMAND_TIMEOUT);
        let message = text(&output);
        assert!(!output.status.success() && message.contains(words), "{damage}: {message}");
        assert!(message.contains("sign-in of acme"), "{damage}: {message}");
        assert_eq!(rig.entries_in_mount_table(), 0);
        shell(&format!("rm -rf {at}; cp -p {kept} {at}"));
    }
    // The stored token is valid, but the next one could not be stored safely.
    shell(&format!("chmod 770 {place}"));
    rig.cloud.expire_tokens();
    let output = run(&mut rig.mount_command(), COMMAND_TIMEOUT);
    assert!(!output.status.success() && text(&output).contains("chmod 700"), "{}", text(&output));
    assert_eq!(rig.cloud.sign_in_counts().renewals, 0);
    shell(&format!("chmod 700 {place}"));
    mount(&rig);
    assert_exact(&rig);
    rig.unmount();
}

#[test]
fn leftovers_of_a_killed_process_are_replaced() {
    let rig = Rig::new(cloud(1));
    write_config(&rig, &UserApp::demo());
    sign_in(&rig);
    let [file] = sign_in_files(&rig).try_into().expect("one sign-in");
    let (left, elsewhere) = (file.with_extension("new"), rig.directory.path().join("elsewhere"));
    std::fs::write(&elsewhere, "mine").expect("a file");
    let leftovers = [
        format!("touch '{0}'; chmod 666 '{0}'", left.display()),
        format!("ln -s '{}' '{}'", elsewhere.display(), left.display()),
        format!("ln '{}' '{}'", elsewhere.display(), left.display()),
        format!("mkfifo '{}'", left.display()),
    ];
    for leftover in leftovers {
        assert!(run(Command::new("sh").args(["-c", &leftover]), COMMAND_TIMEOUT).status.success());
        sign_in(&rig);
        assert_eq!(mode_of(&file), 0o600, "{leftover}");
        assert!(std::fs::symlink_metadata(&file).expect("a file").is_file(), "{leftover}");
        assert!(std::fs::symlink_metadata(&left).is_err(), "{leftover}");
        assert_eq!(std::fs::read_to_string(&elsewhere).expect("a file"), "mine", "{leftover}");
    }
    mount(&rig);
    assert_exact(&rig);
    rig.unmount();
}

#[test]
fn stored_url_receives_a_token_only_if_trusted() {
    let rig = Rig::new(cloud(1));
    write_config(&rig, &UserApp::demo());
    sign_in(&rig);
    let [file] = sign_in_files(&rig).try_into().expect("one sign-in");
    let elsewhere = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut kept: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&file).expect("a file")).expect("JSON");
    kept["api_url"] = format!("http://{}/v2", elsewhere.local_addr().expect("an address")).into();
    std::fs::write(&file, kept.to_string()).expect("a file");
    mount(&rig);
    assert_exact(&rig);
    elsewhere.set_nonblocking(true).expect("a listener");
    assert!(elsewhere.accept().is_err(), "a request arrived");
    rig.unmount();
}
