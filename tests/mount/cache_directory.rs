//! The cache directory: links, other owners and modes, and catalogs of other versions.

use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use crate::support::{COMMAND_TIMEOUT, Rig, meetfs, mode_of, run, text};
use meetfs::demo_cloud::{Archive, DemoCloud, DemoCloudOptions, Effect, Server, Trigger};

/// A user other than the one who runs the tests.
const OTHER_USER: u32 = 54321;

/// The files that meetfs creates in the directory.
const NAMES: [&str; 5] = [
    "catalog.sqlite",
    "catalog.sqlite-wal",
    "catalog.sqlite-shm",
    "catalog.sqlite-journal",
    "blocks",
];

fn rig() -> Rig {
    let rig = Rig::new(DemoCloudOptions {
        archive: Archive::with_pattern_files(&[("film", 3_000_000)]),
        ..DemoCloudOptions::default()
    });
    rig.write_config(&rig.config());
    rig
}

fn cache(rig: &Rig) -> PathBuf {
    rig.directory.path().join("cache")
}

fn private_directory(path: &Path) {
    std::fs::create_dir(path).expect("a directory");
    mode(path, 0o700);
}

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a mode");
}

/// Returns the output of a mount that fails because of its configuration.
fn rejected_mount(rig: &Rig) -> String {
    let output = run(&mut rig.mount_command(), COMMAND_TIMEOUT);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    assert_eq!(rig.entries_in_mount_table(), 0);
    text(&output)
}

fn doctor(rig: &Rig) -> (Option<i32>, String) {
    let output =
        run(rig.meetfs().arg("doctor").arg("--config").arg(rig.config_path()), COMMAND_TIMEOUT);
    (output.status.code(), text(&output))
}

fn cut_off(cloud: &DemoCloud) {
    for server in [Server::Api, Server::Web, Server::Media] {
        cloud.inject(Trigger::always(server).with_effect(Effect::BlackHole));
    }
}

fn catalog(rig: &Rig) -> rusqlite::Connection {
    rusqlite::Connection::open(cache(rig).join("catalog.sqlite")).expect("the catalog")
}

#[test]
fn links_in_the_cache_directory_are_rejected() {
    let rig = rig();
    private_directory(&cache(&rig));
    let (file, directory) =
        (rig.directory.path().join("diary"), rig.directory.path().join("photos"));
    std::fs::write(&file, "").expect("a file");
    mode(&file, 0o644);
    std::fs::create_dir(&directory).expect("a directory");
    mode(&directory, 0o755);
    for name in NAMES {
        let link = cache(&rig).join(name);
        for target in [
            if name == "blocks" { &directory } else { &file },
            &rig.directory.path().join("not there"),
        ] {
            symlink(target, &link).expect("a link");
            let message = rejected_mount(&rig);
            assert!(message.contains(&link.display().to_string()), "{message}");
            assert!(
                message.contains("is a symbolic link") && message.contains("--cache-dir"),
                "{message}"
            );
            let (code, message) = doctor(&rig);
            assert!(code == Some(3) && message.contains("is a symbolic link"), "{message}");
            std::fs::remove_file(&link).expect("a link");
        }
    }
    assert_eq!(std::fs::read(&file).expect("a file"), b"");
    assert_eq!((mode_of(&file), mode_of(&directory)), (0o644, 0o755));
    assert_eq!(std::fs::read_dir(&directory).expect("a directory").count(), 0);
    assert!(!rig.directory.path().join("not there").exists());
    rig.mount();
    rig.unmount();
}

#[test]
fn cache_commands_reject_a_link_to_blocks() {
    let rig = rig();
    private_directory(&cache(&rig));
    let elsewhere = rig.directory.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).expect("a directory");
    mode(&elsewhere, 0o755);
    symlink(&elsewhere, cache(&rig).join("blocks")).expect("a link");
    for command in ["status", "clear"] {
        let output =
            run(meetfs().args(["cache", command, "--cache-dir"]).arg(cache(&rig)), COMMAND_TIMEOUT);
        assert_eq!(output.status.code(), Some(3), "{}", text(&output));
        assert!(text(&output).contains("is a symbolic link"), "{}", text(&output));
    }
    assert_eq!(mode_of(&elsewhere), 0o755);
}

#[test]
fn the_cache_directory_can_be_a_link() {
    let rig = rig();
    let elsewhere = rig.directory.path().join("elsewhere");
    private_directory(&elsewhere);
    symlink(&elsewhere, cache(&rig)).expect("a link");
    rig.mount();
    rig.shell("cat */*/*/*.mp4 >/dev/null");
    rig.unmount();
    assert_eq!(mode_of(&elsewhere.join("catalog.sqlite")), 0o600);
    assert_eq!(mode_of(&elsewhere.join("blocks")), 0o700);
    cut_off(&rig.cloud);
    rig.mount();
    rig.unmount();
}

#[test]
fn files_of_another_user_are_rejected() {
    let rig = rig();
    rig.mount();
    rig.unmount();
    let lock = "blocks/lock";
    for name in NAMES.into_iter().chain([lock]) {
        let path = cache(&rig).join(name);
        let was_there = path.exists();
        if !was_there {
            std::fs::write(&path, "").expect("a file");
        }
        chown(&path, Some(OTHER_USER), None).expect("another owner");
        let message = rejected_mount(&rig);
        let expected = format!("{} belongs to another user (uid {OTHER_USER})", path.display());
        assert!(message.contains(&expected) && message.contains("chown"), "{message}");
        let (code, message) = doctor(&rig);
        assert!(code == Some(3) && message.contains(&expected), "{message}");
        match was_there {
            true => chown(&path, Some(nix::unistd::geteuid().as_raw()), None).expect("its owner"),
            false => std::fs::remove_file(&path).expect("a file"),
        }
    }
    rig.mount();
    rig.unmount();
}

#[test]
fn blocks_of_another_user_stay_unchanged() {
    let rig = rig();
    rig.mount();
    let sum = rig.shell("sha256sum < \"$(ls acme/*/*/*.mp4)\"");
    rig.unmount();
    let blocks = cache(&rig).join("blocks");
    let theirs = rig.directory.path().join("theirs");
    std::fs::create_dir(&theirs).expect("a directory");
    let mut before = Vec::new();
    for entry in std::fs::read_dir(&blocks).expect("a directory").flatten() {
        if entry.file_name() != "lock" {
            let other_name = theirs.join(entry.file_name());
            std::fs::hard_link(entry.path(), &other_name).expect("another name");
            chown(entry.path(), Some(OTHER_USER), None).expect("another owner");
            before.push((other_name.clone(), std::fs::read(other_name).expect("a file")));
        }
    }
    assert!(before.len() >= 2, "{before:?}");
    rig.cloud.clear_requests();
    rig.mount();
    assert_eq!(rig.shell("sha256sum < \"$(ls acme/*/*/*.mp4)\""), sum);
    assert!(rig.media_bytes() >= 3_000_000, "{}", rig.media_bytes());
    rig.unmount();
    for (path, bytes) in before {
        assert!(std::fs::read(&path).expect("a file") == bytes, "{}", path.display());
    }
}

#[test]
fn links_and_pipes_among_blocks_are_replaced() {
    let rig = rig();
    rig.mount();
    let sum = rig.shell("sha256sum < \"$(ls acme/*/*/*.mp4)\"");
    rig.unmount();
    let elsewhere = rig.directory.path().join("elsewhere");
    for kind in ["data", "index"] {
        for is_link in [true, false] {
            let files =
                std::fs::read_dir(cache(&rig).join("blocks")).expect("a directory").flatten();
            let mut names = files.map(|entry| entry.path());
            let path = names
                .find(|path| path.extension().is_some_and(|it| it == kind))
                .expect("a block file");
            std::fs::rename(&path, &elsewhere).expect("another name");
            let before = std::fs::read(&elsewhere).expect("a file");
            if is_link {
                symlink(&elsewhere, &path).expect("a link");
            } else {
                nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
            }
            let status = run(
                rig.meetfs().args(["cache", "status", "--config"]).arg(rig.config_path()),
                COMMAND_TIMEOUT,
            );
            assert!(status.status.success(), "{}", text(&status));
            rig.cloud.clear_requests();
            rig.mount();
            assert_eq!(rig.shell("sha256sum < \"$(ls acme/*/*/*.mp4)\""), sum);
            assert!(rig.media_bytes() >= 3_000_000, "{kind} {is_link}: {}", rig.media_bytes());
            rig.unmount();
            assert!(
                path.symlink_metadata().expect("a file").is_file(),
                "{kind} {is_link}: the block is stored again"
            );
            assert!(std::fs::read(&elsewhere).expect("a file") == before);
        }
    }
}

#[test]
fn an_unsafe_cache_directory_is_rejected() {
    let rig = rig();
    private_directory(&cache(&rig));
    for open in [0o777, 0o1777, 0o770] {
        mode(&cache(&rig), open);
        assert!(rejected_mount(&rig).contains("chmod go-w"));
        assert!(doctor(&rig).1.contains("chmod go-w"));
    }
    mode(&cache(&rig), 0o700);
    chown(cache(&rig), Some(OTHER_USER), None).expect("another owner");
    assert!(rejected_mount(&rig).contains("belongs to another user"));
    assert_eq!(
        std::fs::read_dir(cache(&rig)).expect("a directory").count(),
        0,
        "nothing is created in the directory"
    );
}

#[test]
fn a_catalog_of_a_later_version_stays_unchanged() {
    let rig = rig();
    rig.mount();
    rig.unmount();
    let version = |version: i64| {
        catalog(&rig).pragma_update(None, "user_version", version).expect("a version")
    };
    let supported_version: i64 = catalog(&rig)
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .expect("a version");
    version(supported_version + 1);
    let path = cache(&rig).join("catalog.sqlite");
    let before = std::fs::read(&path).expect("a catalog");
    let message = rejected_mount(&rig);
    assert!(
        message.contains("newer version of meetfs") && message.contains("--cache-dir"),
        "{message}"
    );
    assert!(message.contains(&path.display().to_string()), "{message}");
    let (code, message) = doctor(&rig);
    assert!(code == Some(3) && message.contains("newer version of meetfs"), "{message}");
    assert!(std::fs::read(&path).expect("a catalog") == before);
    assert!(!cache(&rig).join("catalog.sqlite.damaged").exists());
    version(supported_version);
    cut_off(&rig.cloud);
    rig.mount();
    assert_eq!(rig.shell("ls */*/*/*.mp4 | wc -l").trim(), "1");
    rig.unmount();
}

#[test]
fn damaged_catalogs_are_set_aside_under_new_names() {
    let rig = rig();
    private_directory(&cache(&rig));
    let words = ["not a database, the first", "not a database, the second"];
    for (word, name) in words.iter().zip(["catalog.sqlite.damaged", "catalog.sqlite.damaged.2"]) {
        std::fs::write(cache(&rig).join("catalog.sqlite"), word).expect("a file");
        rig.mount();
        rig.unmount();
        let expected =
            format!("renamed it to {} and created a new one", cache(&rig).join(name).display());
        assert!(rig.log().contains(&expected), "{}", rig.log());
    }
    let read = |name: &str| std::fs::read_to_string(cache(&rig).join(name)).expect("a file");
    assert_eq!(read("catalog.sqlite.damaged"), words[0]);
    assert_eq!(read("catalog.sqlite.damaged.2"), words[1]);
}

/// Damages ten listed meetings in the catalog.
fn damage_listed_meetings(rig: &Rig) {
    let damaged = catalog(rig)
        .execute(
            "UPDATE listed_meeting SET listed = '{' \
             WHERE meeting IN (SELECT meeting FROM listed_meeting LIMIT 10)",
            [],
        )
        .expect("damaged rows");
    assert_eq!(damaged, 10);
}

fn rig_with_twenty_recordings() -> Rig {
    let names: Vec<_> = (0..20).map(|number| format!("film {number}")).collect();
    let files: Vec<_> = names.iter().map(|name| (name.as_str(), 1000)).collect();
    let rig = Rig::new(DemoCloudOptions {
        archive: Archive::with_pattern_files(&files),
        ..DemoCloudOptions::default()
    });
    rig.mount();
    rig.unmount();
    rig
}

#[test]
fn mount_with_damaged_rows_waits_for_the_listing() {
    let rig = rig_with_twenty_recordings();
    damage_listed_meetings(&rig);
    rig.mount();
    assert_eq!(rig.shell("ls */*/*/*.mp4 | wc -l").trim(), "20");
    rig.unmount();
}

#[test]
fn mount_with_damaged_rows_reports_a_missing_listing() {
    let rig = rig_with_twenty_recordings();
    damage_listed_meetings(&rig);
    cut_off(&rig.cloud);
    let output = run(&mut rig.mount_command(), COMMAND_TIMEOUT);
    let message = text(&output);
    assert!(output.status.success(), "{message}");
    assert!(message.contains("has not answered yet"), "{message}");
    assert_eq!(rig.shell("ls */*/*/*.mp4 | wc -l").trim(), "10");
    let status = run(rig.meetfs().arg("status").arg(&rig.mountpoint), COMMAND_TIMEOUT);
    assert!(text(&status).contains("has not listed all recordings yet"), "{}", text(&status));
    rig.unmount();
}

#[test]
fn the_catalog_contains_no_sign_in_data() {
    let rig = rig();
    rig.mount();
    rig.unmount();
    let scopes: Vec<String> = {
        let catalog = catalog(&rig);
        let mut query = catalog.prepare("SELECT scope FROM full_listing").expect("a query");
        query
            .query_map([], |row| row.get(0))
            .expect("scopes")
            .map(|scope| scope.expect("a scope"))
            .collect()
    };
    assert!(scopes.len() == 1 && scopes[0].len() == 66, "{scopes:?}");
    let whole = std::fs::read(cache(&rig).join("catalog.sqlite")).expect("a catalog");
    for word in [rig.cloud.oauth_url().as_str(), rig.cloud.credentials().client_id.as_str()] {
        assert!(!whole.windows(word.len()).any(|part| part == word.as_bytes()), "{word}");
    }
}
