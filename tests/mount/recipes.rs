//! The commands and configurations of `docs/recipes.md`, run on real mounts.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use meetfs::demo_cloud::{Archive, DemoCloudOptions, Effect, Server, Trigger};

use crate::support::documents::block;
use crate::support::processes::RunningCommand;
use crate::support::{
    COMMAND_TIMEOUT, Rig, run, started_by, text, wait_for_recycle_bin, wait_until,
};

const DOCUMENT: &str = include_str!("../../docs/recipes.md");

/// Paths of the document.
const MOUNTPOINT: &str = "/mnt/acme";
const BACKUP: &str = "/backup";

fn recipe(name: &str) -> String {
    block(DOCUMENT, name)
}

/// Replaces a part of a recipe that must be there.
fn replaced(recipe: &str, part: &str, replacement: impl AsRef<Path>) -> String {
    assert!(recipe.contains(part), "{part} is missing:\n{recipe}");
    recipe.replace(part, replacement.as_ref().to_str().expect("a path"))
}

fn options(archive: Archive) -> DemoCloudOptions {
    DemoCloudOptions { archive, ..DemoCloudOptions::default() }
}

fn mounted_demo() -> Rig {
    let rig = Rig::mounted(options(Archive::demo()));
    wait_for_recycle_bin(&rig.mountpoint);
    rig
}

fn create(rig: &Rig, directory: &str) -> PathBuf {
    let path = rig.directory.path().join(directory);
    std::fs::create_dir_all(&path).expect("a directory");
    path
}

/// Runs a shell script until the first command that fails. It finds `meetfs` and the programs in
/// the directory `bin` of the rig.
fn try_script(rig: &Rig, script: &str) -> Output {
    let programs = create(rig, "bin");
    let link = programs.join("meetfs");
    if !link.exists() {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_meetfs"), link).expect("a link");
    }
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").expect("a PATH"));
    let mut bash = started_by(&["env", "bash", "-ec", script], &rig.meetfs());
    bash.env("PATH", path).env("HOME", create(rig, "home")).env("M", &rig.mountpoint);
    bash.env("LC_ALL", "C.UTF-8").env("XDG_CACHE_HOME", create(rig, "home/cache"));
    bash.env("BORG_PASSPHRASE", "secret").env("RESTIC_PASSWORD", "secret").current_dir("/");
    run(&mut bash, COMMAND_TIMEOUT)
}

/// Runs a shell script that must succeed. Returns both output streams.
fn script(rig: &Rig, script: &str) -> String {
    let output = try_script(rig, script);
    assert!(output.status.success(), "{script}\n{}\n{}", text(&output), rig.log());
    [output.stdout, output.stderr].map(|it| String::from_utf8_lossy(&it).into_owned()).concat()
}

/// Returns a recipe with the mountpoint of the rig and a directory for backups.
fn backup_recipe(rig: &Rig, name: &str) -> String {
    let text = recipe(name);
    let text = text.replace(MOUNTPOINT, rig.mountpoint.to_str().expect("a path"));
    replaced(&text, BACKUP, create(rig, "backup"))
}

fn first_line(recipe: &str) -> String {
    recipe.lines().next().expect("a line").to_owned()
}

/// Asserts that no content was requested. At its start, meetfs also measures the files again whose
/// listed size was wrong, which takes single bytes.
fn assert_nothing_fetched(rig: &Rig) {
    let requests = rig.media_requests();
    assert!(requests.iter().all(|request| request.body_bytes <= 1), "{requests:?}");
}

#[test]
fn rsync_recipe_copies_each_file_once() {
    let rig = mounted_demo();
    let recipe = backup_recipe(&rig, "rsync");
    create(&rig, "backup/acme");
    let (copy, check) = recipe.split_once('\n').expect("two commands");
    let unsaved = try_script(&rig, check);
    assert_eq!(unsaved.status.code(), Some(1), "{}", text(&unsaved));
    assert!(text(&unsaved).contains("Kick-off"), "{}", text(&unsaved));
    assert!(script(&rig, copy).lines().count() > 60);
    assert_complete(&script(&rig, check));

    let backup = rig.directory.path().join("backup/acme");
    script(&rig, &format!("diff -r \"$M\" {}", backup.display()));
    assert_eq!(script(&rig, &format!("find {} ! -perm -u+w", backup.display())), "");
    let change_times = format!("find {} -printf '%P %C@ %m\\n' | sort", backup.display());
    let before = script(&rig, &change_times);
    for is_remounted in [false, true] {
        if is_remounted {
            rig.unmount();
            rig.mount();
        }
        rig.cloud.clear_requests();
        assert_complete(&script(&rig, &recipe));
        assert_eq!(script(&rig, &change_times), before, "remounted: {is_remounted}");
        assert_nothing_fetched(&rig);
    }
    // The provider deletes a recording, and a copy is lost.
    let meeting = rig.cloud.meetings().into_iter().find(|meeting| meeting.topic == "Kick-off");
    assert!(rig.cloud.remove_meeting(&meeting.expect("a meeting").uuid));
    script(&rig, "meetfs refresh \"$M\"");
    let output = script(&rig, &recipe);
    assert!(output.contains("extra (ignored), no difference"), "{output}");
    let files = "! -path '*Kick-off*' -name chat.txt";
    script(&rig, &format!("rm \"$(find {} {files} | head -n 1)\"", backup.display()));
    let output = try_script(&rig, check.lines().last().expect("a line"));
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("missing "), "{}", text(&output));
    rig.unmount();
}

/// Asserts that a recipe prints only the summary of a check that finds no difference.
fn assert_complete(output: &str) {
    let summary = output.lines().next().unwrap_or_default();
    assert!(summary.starts_with("compared ") && summary.ends_with(", no difference"), "{output}");
    assert!(output.lines().skip(1).all(|line| line.starts_with("note: ")), "{output}");
}

#[test]
fn contents_of_a_backup_are_verified() {
    let rig = mounted_demo();
    create(&rig, "backup/acme");
    script(&rig, &first_line(&backup_recipe(&rig, "rsync")));
    let recipe = backup_recipe(&rig, "verify-contents");
    assert_complete(&script(&rig, &recipe));
    assert_complete(&script(&rig, &recipe));
    let copy = script(&rig, "cd \"$M/../backup/acme\"; find . -name 'audio_only.m4a' | head -n 1");
    let damage =
        format!("cd \"$M/../backup/acme\"; printf damage | dd of='{}' conv=notrunc", copy.trim());
    script(&rig, &damage);
    let (compare, check_sums) = recipe.split_once('\n').expect("two commands");
    for (command, message) in [(compare, "audio_only.m4a  (content)"), (check_sums, "FAILED")] {
        let output = try_script(&rig, command);
        assert_eq!(output.status.code(), Some(1), "{command}: {}", text(&output));
        assert!(text(&output).contains(message), "{command}: {}", text(&output));
    }
    rig.unmount();
}

#[test]
fn backup_units_are_valid() {
    let rig = Rig::new(options(Archive::empty()));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let units = [
        ("docs/examples", "meetfs-backup@.service"),
        ("docs/examples", "meetfs-backup@.timer"),
        ("packaging", "meetfs@.service"),
    ];
    let copies = units.map(|(directory, unit)| {
        let content = std::fs::read_to_string(root.join(directory).join(unit)).expect("a unit");
        let content = content.replace("/usr/bin/meetfs", env!("CARGO_BIN_EXE_meetfs"));
        let path = rig.directory.path().join(unit.replace('@', "@acme"));
        std::fs::write(&path, content).expect("a copy");
        path
    });
    let mut verify = Command::new("systemd-analyze");
    let output =
        run(verify.args(["verify", "--man=no", "--system"]).args(&copies), COMMAND_TIMEOUT);
    let messages = text(&output);
    assert!(output.status.success() && !messages.contains("@acme"), "{messages}");
}

#[test]
fn backup_unit_runs_the_rsync_recipe() {
    let unit = include_str!("../../docs/examples/meetfs-backup@.service");
    let commands: Vec<String> = unit
        .lines()
        .filter_map(|line| line.strip_prefix("Exec")?.split_once('='))
        .map(|(_, command)| command.replace("/usr/bin/", "").replace("%i", "acme"))
        .collect();
    assert_eq!(commands.join("\n"), recipe("rsync"));
}

#[test]
fn borg_recipe_reads_only_the_newest_files() {
    let rig = mounted_demo();
    script(&rig, &backup_recipe(&rig, "borg-init"));
    // Two archives of the same second would have the same name.
    let numbered =
        |number: &str| backup_recipe(&rig, "borg").replace("{now}", &format!("{{now}}-{number}"));
    let first = script(&rig, &numbered("1"));
    let files: usize = script(&rig, "find \"$M\" -type f | wc -l").trim().parse().expect("a count");
    assert_eq!(first.lines().filter(|line| line.starts_with("A ")).count(), files, "{first}");
    for number in ["2", "3"] {
        if number == "3" {
            rig.unmount();
            rig.mount();
        }
        rig.cloud.clear_requests();
        let again = script(&rig, &numbered(number));
        let read: BTreeSet<&str> = again.lines().collect();
        let newest =
            script(&rig, "find \"$M\" -type f -printf '%T@ A %p\\n' | sort -n | tail -n 1");
        let newest = newest.trim().split_once(' ').expect("a time").1;
        assert!(read.contains(newest) && read.len() <= 3, "{number}: {newest}\n{again}");
        assert_nothing_fetched(&rig);
    }
    let restored = create(&rig, "restored");
    let export = first_line(&backup_recipe(&rig, "borg"));
    let extract =
        format!("cd {}; borg extract \"::$(borg list --last 1 --short)\"", restored.display());
    script(&rig, &format!("{export}\n{extract}\ndiff -r \"$M\" \"{}$M\"", restored.display()));
    rig.unmount();
}

#[test]
fn restic_recipe_reads_no_file_twice() {
    let rig = mounted_demo();
    script(&rig, &backup_recipe(&rig, "restic-init"));
    let backup = backup_recipe(&rig, "restic");
    let files = script(&rig, "find \"$M\" -type f | wc -l").trim().to_owned();
    let first = script(&rig, &backup);
    assert!(first.contains(&format!("{files} new,     0 changed")), "{first}");
    for is_remounted in [false, true] {
        if is_remounted {
            rig.unmount();
            rig.mount();
        }
        rig.cloud.clear_requests();
        let again = script(&rig, &backup);
        let unchanged = format!("0 new,     0 changed, {files:>5} unmodified");
        assert!(again.contains(&unchanged), "{unchanged}\n{again}");
        assert_nothing_fetched(&rig);
    }
    let export = first_line(&backup);
    let restored = create(&rig, "restored");
    let restore = format!("restic restore latest --target {}", restored.display());
    script(&rig, &format!("{export}\n{restore}\ndiff -r \"$M\" \"{}$M\"", restored.display()));
    rig.unmount();
}

#[test]
fn unreadable_file_fails_each_backup() {
    let rig = Rig::mounted(options(Archive::with_pattern_files(&[("a", 9_000), ("b", 9_000)])));
    script(&rig, &backup_recipe(&rig, "borg-init"));
    script(&rig, &backup_recipe(&rig, "restic-init"));
    let object = rig.cloud.objects().into_iter().next().expect("an object");
    let trigger = Trigger::always(Server::Media).with_path(&object.media_path);
    rig.cloud.inject(trigger.with_effect(Effect::status(403)));
    let backups = [("rsync", 23), ("borg", 1), ("restic", 3)];
    for (name, code) in backups {
        let output = try_script(&rig, &backup_recipe(&rig, name));
        assert_eq!(output.status.code(), Some(code), "{name}: {}", text(&output));
    }
    let saved =
        script(&rig, &format!("find {}/backup/acme -name '*.mp4'", rig.directory.path().display()));
    assert_eq!(saved.lines().count(), 1, "{saved}");
    rig.cloud.clear_faults();
    rig.unmount();
    rig.mount();
    for (name, _) in backups {
        let recipe = backup_recipe(&rig, name).replace("{now}", "{now}-again");
        script(&rig, &recipe);
    }
    script(&rig, &format!("diff -r \"$M\" {}/backup/acme", rig.directory.path().display()));
    rig.unmount();
}

/// Mounts with the options of the recipe for servers that run as another user.
fn mount_for_servers(rig: &Rig) {
    std::fs::set_permissions(rig.directory.path(), std::fs::Permissions::from_mode(0o755))
        .expect("a mode");
    rig.write_config(&rig.config());
    let recipe = recipe("web-mount");
    let words: Vec<&str> = recipe.split(' ').collect();
    let ["meetfs", "mount", "-o", options, MOUNTPOINT] = words[..] else { panic!("{recipe}") };
    let output = run(rig.mount_command().args(["-o", options]), COMMAND_TIMEOUT);
    assert!(output.status.success(), "{}", text(&output));
}

#[test]
fn nginx_serves_ranges_to_authorized_users() {
    let rig = Rig::new(options(Archive::demo()));
    mount_for_servers(&rig);
    let directory = rig.directory.path();
    let passwords = directory.join("passwords");
    std::fs::write(&passwords, "ana:{PLAIN}secret\n").expect("passwords");
    std::fs::set_permissions(&passwords, std::fs::Permissions::from_mode(0o644)).expect("a mode");
    let server = replaced(&recipe("nginx"), MOUNTPOINT, &rig.mountpoint);
    let server = replaced(&server, "/etc/nginx/recordings.htpasswd", &passwords);
    let socket = directory.join("nginx.socket");
    let server = replaced(&server, "127.0.0.1:8080", format!("unix:{}", socket.display()));
    let configuration = directory.join("nginx.conf");
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {}/{kind};", directory.display()))
        .join(" ");
    let around = format!(
        "daemon off; user www-data; pid {}; events {{}}\n\
         http {{ access_log off; {temporary}\n{server}\n}}\n",
        directory.join("nginx.pid").display()
    );
    std::fs::write(&configuration, around).expect("a configuration");
    let nginx = format!("exec nginx -e stderr -c {}", configuration.display());
    script(&rig, &format!("{nginx} -t"));
    let server = RunningCommand::start(Command::new("bash").args(["-c", &nginx]));
    wait_until(COMMAND_TIMEOUT, "nginx listens", || socket.exists());

    let file = script(&rig, "cd \"$M\" && ls acme/*/*Kick-off/shared_screen_with_speaker_view.mp4");
    let url = format!("http://localhost/{}", file.trim().replace(' ', "%20"));
    let curl = format!("curl -sS --unix-socket {} -w '%{{http_code}}'", socket.display());
    let code = |arguments: &str| script(&rig, &format!("{curl} -o /dev/null {arguments}"));
    assert_eq!(code(&url), "401", "{}", server.output());
    let part = directory.join("part");
    let request = format!("{curl} -u ana:secret -r 1000-300999 -o {} {url}", part.display());
    assert_eq!(script(&rig, &request), "206", "{}", server.output());
    let expected = format!("tail -c +1001 \"$M/{}\" | head -c 300000", file.trim());
    script(&rig, &format!("cmp {} <({expected})", part.display()));
    let directory_of_file = url.rsplit_once('/').expect("a directory").0;
    let index =
        format!("curl -sS -u ana:secret --unix-socket {} {directory_of_file}/", socket.display());
    assert!(script(&rig, &index).contains("speaker_view.mp4"));
    assert_eq!(code(&format!("-u ana:secret {directory_of_file}/meeting.json")), "403");
    drop(server);
    rig.unmount();
}

/// Samba would be the largest package of the tests, and installing it starts a server.
#[test]
#[ignore = "needs smbd and smbclient"]
fn samba_share_serves_exact_files() {
    let rig = Rig::new(options(Archive::demo()));
    rig.write_config(&rig.config());
    let output = run(rig.mount_command().args(["-o", "allow_other"]), COMMAND_TIMEOUT);
    assert!(output.status.success(), "{}", text(&output));
    std::fs::set_permissions(rig.directory.path(), std::fs::Permissions::from_mode(0o755))
        .expect("a mode");
    let state = create(&rig, "samba");
    let share = replaced(&recipe("samba"), MOUNTPOINT, &rig.mountpoint);
    let share = replaced(&share, "valid users = @meetings", "guest ok = yes");
    let port = free_port();
    let directories =
        ["private dir", "lock directory", "state directory", "cache directory", "pid directory"]
            .map(|key| format!("{key} = {}\n", state.display()))
            .concat();
    let configuration = rig.directory.path().join("smb.conf");
    let global = format!(
        "[global]\nserver role = standalone server\nmap to guest = Bad User\nsmb ports = {port}\n\
         interfaces = lo\nbind interfaces only = yes\ndisable spoolss = yes\nload printers = no\n\
         ncalrpc dir = {0}/ncalrpc\nlog file = {0}/log\n{directories}{share}\n",
        state.display()
    );
    std::fs::write(&configuration, global).expect("a configuration");
    let configuration = configuration.display();
    assert!(script(&rig, &format!("testparm -s {configuration}")).contains("[recordings]"));
    let server = format!("exec smbd -F --no-process-group -s {configuration}");
    let server = RunningCommand::start(Command::new("bash").args(["-c", &server]));
    let client = |command: &str| {
        let words =
            format!("-N -s {configuration} -p {port} //127.0.0.1/recordings -c '{command}'");
        try_script(&rig, &format!("smbclient {words}"))
    };
    wait_until(COMMAND_TIMEOUT, "smbd answers", || client("ls").status.success());
    let copy = create(&rig, "copy");
    let output = client(&format!("prompt; recurse; lcd {}; cd acme; mget *", copy.display()));
    assert!(text(&output).contains("getting file"), "{}", text(&output));
    let differences = "--exclude=meeting.json --exclude=participants.csv";
    script(&rig, &format!("diff -r {differences} \"$M/acme\" {}", copy.display()));
    let output = client("mkdir new");
    assert!(text(&output).contains("NT_STATUS_"), "{}", text(&output));
    drop(server);
    rig.unmount();
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// A container is a process with another mount namespace. With `rslave`, mounts and unmounts of the
/// host happen in it, so it does not keep an unmounted file system in use.
#[test]
fn container_follows_mount_and_unmount() {
    const SCRIPT: &str = "directory=$(dirname \"$0\")\n\
        mount --bind \"$directory\" \"$directory\"; mount --make-shared \"$directory\"\n\
        unshare --mount --propagation slave sleep 100 & container=$!\n\
        trap 'kill $container' EXIT\n\
        until [ \"$(cat /proc/$container/comm)\" = sleep ]; do sleep 0.01; done\n\
        \"$@\"; nsenter --mount --target $container ls \"$0\"\n\
        \"$1\" unmount \"$0\"; nsenter --mount --target $container ls \"$0\"";
    let rig = Rig::new(options(Archive::with_meetings(1, 1)));
    rig.write_config(&rig.config());
    let mountpoint = rig.mountpoint.to_str().expect("a path");
    let starter = ["unshare", "--mount", "--", "bash", "-ec", SCRIPT, mountpoint];
    let output = run(&mut started_by(&starter, &rig.mount_command()), COMMAND_TIMEOUT);
    assert!(output.status.success(), "{}\n{}", text(&output), rig.log());
    assert_eq!(String::from_utf8_lossy(&output.stdout), "acme\n", "{}", text(&output));
}

#[test]
fn transcriber_writes_one_text_per_recording() {
    // Reads its standard input, as some programs do.
    const WHISPER: &str = "#!/bin/sh\ncat >/dev/null\nwhile [ $# -gt 0 ]; do case $1 in \
        --file) file=$2 ;; --output-file) output=$2 ;; esac; shift; done\n\
        [ \"$(head -c 4 \"$file\")\" = RIFF ] && wc -c <\"$file\" >\"$output.txt\"\n";
    let rig = Rig::new(options(Archive::demo()));
    rig.mount();
    let program = create(&rig, "bin").join("whisper-cli");
    std::fs::write(&program, WHISPER).expect("a program");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    let texts = create(&rig, "texts");
    let worker = replaced(&recipe("transcribe"), MOUNTPOINT, &rig.mountpoint);
    let worker = replaced(&worker, "/srv/transcripts", &texts);
    let path = rig.directory.path().join("transcribe.sh");
    std::fs::write(&path, worker).expect("a script");
    let worker = format!("sh {}", path.display());
    let written = || {
        let found = script(&rig, &format!("cd {}; find . -type f", texts.display()));
        found.lines().map(str::to_owned).collect::<BTreeSet<String>>()
    };
    rig.cloud.inject(Trigger::always(Server::Media).with_effect(Effect::status(403)));
    script(&rig, &worker);
    assert_eq!(written(), BTreeSet::new());
    rig.cloud.clear_faults();
    rig.unmount();
    rig.mount();

    script(&rig, &worker);
    let audio = script(&rig, "cd \"$M\"; find . -name 'audio_only*.m4a'");
    let expected: BTreeSet<String> = audio.lines().map(|path| format!("{path}.txt")).collect();
    assert!(expected.len() > 2, "{audio}");
    assert_eq!(written(), expected);
    rig.cloud.clear_requests();
    script(&rig, &worker);
    assert_eq!(written(), expected);
    assert_nothing_fetched(&rig);
    rig.unmount();
}

#[test]
fn updatedb_recipe_excludes_the_mount() {
    let rig = Rig::mounted(options(Archive::with_pattern_files(&[("a", 100)])));
    let configuration = rig.directory.path().join("updatedb.conf");
    let recipe = replaced(&recipe("updatedb"), "/etc/updatedb.conf", &configuration);
    for (recipe, is_excluded) in [("true", false), (recipe.as_str(), true)] {
        std::fs::write(&configuration, "PRUNE_BIND_MOUNTS=\"no\"\nPRUNEFS=\"nfs proc\"\n")
            .expect("a configuration");
        script(&rig, recipe);
        let output = list_database(&rig, &configuration);
        assert!(output.contains("updatedb.conf"), "{output}");
        assert_eq!(!output.contains(".mp4"), is_excluded, "{output}");
    }
    rig.unmount();
}

/// Runs updatedb with a configuration on the directory of the rig. Returns the paths that it finds.
fn list_database(rig: &Rig, configuration: &Path) -> String {
    let line = format!(
        "mount --bind {0} /etc/updatedb.conf; updatedb -U {1} -o {1}/database; \
         plocate -d {1}/database /",
        configuration.display(),
        rig.directory.path().display()
    );
    script(rig, &format!("unshare --mount -- bash -ec '{line}'"))
}

#[test]
fn shell_blocks_have_no_syntax_error() {
    let blocks: Vec<&str> = DOCUMENT.split("```sh\n").skip(1).collect();
    assert!(blocks.len() > 10, "{}", blocks.len());
    for block in blocks {
        let block = block.split_once("\n```").expect("the end of a block").0;
        let output = run(Command::new("bash").args(["-nc", block]), COMMAND_TIMEOUT);
        assert!(output.status.success(), "{block}\n{}", text(&output));
    }
}
