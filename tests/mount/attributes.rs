//! Extended attributes, as `getfattr`, `rsync -aX` and `tar --xattrs` see them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use meetfs::demo_cloud::{Archive, DemoCloudOptions};

use crate::support::{COMMAND_TIMEOUT, Rig, run, text};

fn mounted_rig() -> Rig {
    let archive = Archive::with_pattern_files(&[("talk", 300_000), ("other", 5000)]);
    Rig::mounted(DemoCloudOptions { archive, ..DemoCloudOptions::default() })
}

/// Returns the attributes that `getfattr` lists.
fn attributes(rig: &Rig, pattern: &str) -> BTreeMap<String, String> {
    let listed = rig.shell(&format!("getfattr -d -m - -- {pattern}"));
    let values = listed.lines().filter_map(|line| line.strip_prefix("user.meetfs."));
    let values = values.filter_map(|line| line.split_once('='));
    values.map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned())).collect()
}

#[test]
fn attributes_describe_meetings_and_files() {
    let rig = mounted_rig();
    let meeting = attributes(&rig, "acme/*/*talk");
    assert_eq!(meeting["provider"], "zoom");
    assert_eq!(meeting["kind"], "meeting");
    assert!(meeting["start"].parse::<Timestamp>().is_ok(), "{meeting:?}");
    assert!(meeting["duration"].parse::<u64>().is_ok_and(|seconds| seconds > 0), "{meeting:?}");
    assert!(!meeting.contains_key("file_id"), "{meeting:?}");
    let file = attributes(&rig, "acme/*/*talk/*.mp4");
    assert_eq!(file["kind"], "video");
    assert_eq!(file["meeting_id"], meeting["meeting_id"]);
    assert!(!file["file_id"].is_empty(), "{file:?}");
    let document: serde_json::Value =
        serde_json::from_str(&rig.shell("cat acme/*/*talk/meeting.json")).expect("JSON");
    assert_eq!(document["uuid"], meeting["meeting_id"]);
    assert_eq!(file.get("share_url").map(String::as_str), document["share_url"].as_str());
    assert_eq!(attributes(&rig, "acme/*/*talk/meeting.json")["kind"], "metadata");
    assert!(attributes(&rig, "acme").is_empty());
    let cached = "getfattr --only-values -n user.meetfs.cached acme/*/*talk/*.mp4";
    assert_eq!(rig.shell(cached), "0");
    assert!(!file.contains_key("cached"), "{file:?}");
    rig.shell("cat acme/*/*talk/*.mp4 >/dev/null");
    assert_eq!(rig.shell(cached), "100");
    let output = rig.try_shell("getfattr -n user.meetfs.cached acme", COMMAND_TIMEOUT);
    assert!(text(&output).contains("No such attribute"), "{}", text(&output));
    rig.unmount();
}

#[test]
fn share_url_is_hidden_from_other_users() {
    let archive = Archive::with_pattern_files(&[("talk", 5000)]);
    let rig = Rig::new(DemoCloudOptions { archive, ..DemoCloudOptions::default() });
    rig.write_config(&rig.config());
    let output = run(rig.mount_command().args(["-o", "allow_other,uid=1234"]), COMMAND_TIMEOUT);
    assert!(output.status.success(), "{}", text(&output));
    rig.shell("chmod 755 ..");
    let names = |uid: u32| {
        rig.shell(&format!("setpriv --reuid={uid} --clear-groups getfattr -m - acme/*/*talk/*.mp4"))
    };
    let (of_root, of_owner, of_other) = (names(0), names(1234), names(4321));
    assert_eq!(of_root, of_owner);
    let others: Vec<_> = of_owner.lines().filter(|line| !line.contains("share_url")).collect();
    assert_eq!(of_other.lines().collect::<Vec<_>>(), others);
    assert!(of_other.contains("user.meetfs.kind"), "{of_other}");
    rig.unmount();
}

#[test]
fn copies_with_attributes_are_complete_and_silent() {
    let rig = mounted_rig();
    let copy = rig.directory.path().join("copy");
    std::fs::create_dir(&copy).expect("a directory");
    let probe = format!("touch {0}/probe && setfattr -n user.a -v b {0}/probe", copy.display());
    let supports_attributes = rig.try_shell(&probe, COMMAND_TIMEOUT).status.success();
    assert!(supports_attributes, "the temporary directory supports no extended attributes");
    let rsync = |extra: &str| {
        let line = format!("rsync -aX {extra} --itemize-changes acme {}/ 2>&1", copy.display());
        rig.shell(&line)
    };
    let first = rsync("");
    assert!(first.lines().all(|line| line.starts_with(['>', 'c'])), "{first}");
    let copied = rig.shell(&format!("getfattr -d -m - -R {} 2>&1", copy.display()));
    assert!(copied.contains("user.meetfs.provider=\"zoom\""), "{copied}");
    // The files are cached now, and nothing is copied again.
    assert_eq!(rsync(""), "");
    assert_eq!(rsync("--checksum"), "");
    let archive = rig.directory.path().join("copy.tar");
    let packed = rig.shell(&format!("tar --xattrs -cf {} acme 2>&1", archive.display()));
    assert_eq!(packed, "");
    let listed = rig.shell(&format!("tar --xattrs -tvvf {} 2>&1", archive.display()));
    assert!(listed.contains("user.meetfs.meeting_id"), "{listed}");
    assert!(!listed.contains("user.meetfs.cached"), "{listed}");
    rig.unmount();
}
