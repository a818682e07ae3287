//! Sign-ins in a browser, on this machine or another one.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use meetfs::demo_cloud::{DemoCloudOptions, Effect, Server, Trigger, UserApp};

use super::rig::{
    assert_exact, begin, browse, cloud, code_in, curl, free_port, login_command, mount,
    redirect_url, sign_in, sign_in_files, url_in, write_config,
};
use crate::support::processes::RunningCommand;
use crate::support::{COMMAND_TIMEOUT, Rig, mode_of, run, text, wait_until};

#[test]
fn sign_in_in_a_browser_permits_a_mount() {
    for app in [UserApp::demo(), UserApp::public()] {
        let rig = Rig::new(cloud(2));
        write_config(&rig, &app);
        sign_in(&rig);
        let [file] = sign_in_files(&rig).try_into().expect("one sign-in");
        assert_eq!(mode_of(&file), 0o600);
        assert_eq!(mode_of(file.parent().expect("a directory")), 0o700);
        mount(&rig);
        assert_exact(&rig);
        assert_eq!(rig.cloud.sign_in_counts().sign_ins, 1);
        rig.unmount();
    }
}

#[test]
fn browser_does_not_inherit_secrets() {
    let rig = Rig::new(cloud(1));
    write_config(&rig, &UserApp::demo());
    let directory = rig.directory.path().join("bin");
    std::fs::create_dir(&directory).expect("a directory");
    let (launcher, seen) = (directory.join("xdg-open"), rig.directory.path().join("seen"));
    let script = format!(
        "#!/bin/sh\nprintf '%s\\n' \"$@\" > '{0}.new'; env >> '{0}.new'; mv '{0}.new' '{0}'\n",
        seen.display()
    );
    std::fs::write(&launcher, script).expect("a script");
    std::fs::set_permissions(&launcher, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    let path = std::env::var("PATH").expect("a path");
    let mut login = login_command(&rig, free_port());
    login.env("PATH", format!("{}:{path}", directory.display())).env("DISPLAY", ":9");
    login.env("VAULT_SECRET", "s3cr3t-of-the-vault").env("MEETFS_TIMEZONE", "UTC");
    // A browser is opened only if the output is a terminal.
    let login = format!("{login:?}");
    let mut terminal = std::process::Command::new("script");
    let mut running = RunningCommand::start(terminal.args(["-qec", &login, "/dev/null"]));
    wait_until(COMMAND_TIMEOUT, "the browser is started and its URL is shown", || {
        seen.exists() && url_in(&running.output()).is_some()
    });
    let seen = std::fs::read_to_string(&seen).expect("the arguments and variables");
    let address = url_in(&running.output()).expect("an address");
    assert_eq!(seen.lines().next(), Some(address.as_str()));
    assert!(seen.contains("\nDISPLAY=:9\n") && seen.contains("\nPATH="), "{seen}");
    assert!(!seen.contains("s3cr3t") && !seen.contains("MEETFS_"), "{seen}");
    assert!(browse(&address).contains("You are signed in"));
    assert_eq!(running.end(COMMAND_TIMEOUT).0.code(), Some(0), "{}", running.output());
}

#[test]
fn missing_sign_in_names_the_command() {
    let rig = Rig::new(cloud(1));
    write_config(&rig, &UserApp::demo());
    let output = run(&mut rig.mount_command(), COMMAND_TIMEOUT);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    assert!(text(&output).contains("Run `meetfs login acme`"), "{}", text(&output));
    assert!(sign_in_files(&rig).is_empty());
}

#[test]
fn foreign_redirect_is_refused_and_the_right_accepted() {
    let rig = Rig::new(cloud(1));
    write_config(&rig, &UserApp::demo());
    let port = free_port();
    let (mut login, address) = begin(&rig, port);
    for query in ["", "code=x", "code=x&state=y", "error=access_denied&state=y"] {
        let page = curl(&[&format!("http://127.0.0.1:{port}/?{query}")]);
        assert!(page.contains("does not belong"), "{query}: {page}");
    }
    assert!(curl(&[&format!("http://127.0.0.1:{port}/favicon.ico")]).contains("Not found"));
    assert!(login.is_running());
    assert!(browse(&address).contains("You are signed in"));
    assert_eq!(login.end(COMMAND_TIMEOUT).0.code(), Some(0), "{}", login.output());
}

#[test]
fn refused_permission_is_reported_and_nothing_stored() {
    let rig = Rig::new(cloud(1));
    write_config(&rig, &UserApp::demo());
    let port = free_port();
    let (mut login, address) = begin(&rig, port);
    let state =
        address.split(['?', '&']).find(|field| field.starts_with("state=")).expect("a state");
    curl(&[&format!("http://127.0.0.1:{port}/?error=access_denied&{state}")]);
    assert_eq!(login.end(COMMAND_TIMEOUT).0.code(), Some(3), "{}", login.output());
    assert!(login.output().contains("access_denied"), "{}", login.output());
    assert!(sign_in_files(&rig).is_empty());
}

#[test]
fn used_port_is_named() {
    let rig = Rig::new(cloud(1));
    write_config(&rig, &UserApp::demo());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let output = run(&mut login_command(&rig, port), COMMAND_TIMEOUT);
    assert_eq!(output.status.code(), Some(4), "{}", text(&output));
    assert!(text(&output).contains(&format!("port {port}")) && text(&output).contains("--port"));
}

/// Converts the printed URL to the text that the user pastes.
type Pasted<'a> = &'a dyn Fn(&str) -> Vec<u8>;

/// Runs `meetfs login --paste` and pastes the text that `pasted` returns for the printed URL.
fn paste(rig: &Rig, pasted: Pasted<'_>) -> std::process::Output {
    let mut child = login_command(rig, 8976)
        .arg("--paste")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a login");
    let mut stdout = std::io::BufReader::new(child.stdout.take().expect("an output"));
    let mut message = String::new();
    while url_in(&message).is_none() {
        assert!(
            std::io::BufRead::read_line(&mut stdout, &mut message).expect("a line") > 0,
            "{message}"
        );
    }
    let line = pasted(&url_in(&message).expect("an address"));
    let mut stdin = child.stdin.take().expect("an input");
    // After a refusal, the rest of a long line is not read.
    let _all_or_enough = stdin.write_all(&line).and_then(|()| stdin.write_all(b"\n"));
    drop(stdin);
    child.wait_with_output().expect("an end")
}

#[test]
fn redirect_url_is_pasted_without_a_browser() {
    let rig = Rig::new(cloud(1));
    write_config(&rig, &UserApp::demo());
    let output = paste(&rig, &|address| redirect_url(address).into_bytes());
    assert!(output.status.success(), "{}", text(&output));
    // The text as a browser shows it.
    let output = paste(&rig, &|address| {
        let redirected_url = redirect_url(address);
        format!("  {}#_ ", redirected_url.strip_prefix("http://").expect("an address")).into_bytes()
    });
    assert!(output.status.success(), "{}", text(&output));
    // The text of a user who sees only a code.
    let output = paste(&rig, &|address| {
        let code = code_in(&redirect_url(address));
        let state =
            address.split(['?', '&']).find(|field| field.starts_with("state=")).expect("a state");
        format!("code={code}&{state}").into_bytes()
    });
    assert!(output.status.success(), "{}", text(&output));
    mount(&rig);
    assert_exact(&rig);
    rig.unmount();
}

#[test]
fn wrong_paste_is_refused_and_not_repeated() {
    let rig = Rig::new(cloud(1));
    write_config(&rig, &UserApp::demo());
    let other = |address: &str| {
        let redirected_url = redirect_url(address);
        let (before, _) = redirected_url.split_once("&state=").expect("a state");
        format!("{before}&state=another-question").into_bytes()
    };
    let mistakes: [Pasted<'_>; 11] = [
        &|_| Vec::new(),
        &|_| b"http://127.0.0.1:8976/".to_vec(),
        &|_| b"http://127.0.0.1:8976/?code=x1y2z3&state=y".to_vec(),
        &|_| b"two words".to_vec(),
        // The URL to open instead of the redirect URL.
        &|address| address.as_bytes().to_vec(),
        &|address| redirect_url(address).replace("code=", "cod=").into_bytes(),
        &|address| redirect_url(address).replace("&state=", "&stat=").into_bytes(),
        &other,
        &|_| b"\x1b[31mred\x07\0".to_vec(),
        &|_| vec![0xff; 100],
        &|_| vec![b'a'; 1_000_000],
    ];
    for (number, mistake) in mistakes.iter().enumerate() {
        let output = paste(&rig, mistake);
        let message = text(&output);
        assert_eq!(output.status.code(), Some(3), "{number}: {message}");
        assert!(message.contains("paste the whole URL"), "{number}: {message}");
        assert!(
            !message.contains(['\x1b', '\x07']) && !message.contains("x1y2z3"),
            "{number}: {message}"
        );
        assert!(message.len() < 1000, "{number}: {message}");
    }
    assert!(sign_in_files(&rig).is_empty());
    assert_eq!(rig.cloud.sign_in_counts().sign_ins, 0);
}

/// The code may belong to another request and would then sign in to another account.
#[test]
fn code_without_state_is_refused_and_not_sent() {
    let rig = Rig::new(cloud(1));
    write_config(&rig, &UserApp::demo());
    let codes: [Pasted<'_>; 2] =
        [&|address| code_in(&redirect_url(address)).into_bytes(), &|_| b"n0t-a-c0de".to_vec()];
    for code in codes {
        let output = paste(&rig, code);
        let message = text(&output);
        assert_eq!(output.status.code(), Some(3), "{message}");
        assert!(
            message.contains("whole URL") && message.contains("code=CODE&state=STATE"),
            "{message}"
        );
        assert!(!message.contains("n0t-a-c0de"), "{message}");
    }
    let requests =
        rig.cloud.requests().into_iter().filter(|request| request.path.contains("/oauth/token"));
    assert_eq!(requests.count(), 0);
    assert_eq!(rig.cloud.sign_in_counts().sign_ins, 0);
    assert!(sign_in_files(&rig).is_empty());
}

#[test]
fn source_with_a_missing_token_needs_no_login() {
    let rig = Rig::new(cloud(1));
    let lines = rig.config();
    let lines = lines.lines().filter_map(|line| match line.split(" = ").next() {
        Some("account_id" | "client_id") => None,
        Some("client_secret") => Some("token_env = \"NOBODY_SETS_THIS\"\n".to_owned()),
        _ => Some(format!("{line}\n")),
    });
    rig.write_config(&lines.collect::<String>());
    let output = run(&mut login_command(&rig, free_port()), COMMAND_TIMEOUT);
    let message = text(&output);
    assert_eq!(output.status.code(), Some(3), "{message}");
    assert!(message.contains("acme needs no login: it signs in with its `token_env`"), "{message}");
    assert!(message.contains("`client_id` of a user-managed OAuth app"), "{message}");
    assert!(!message.contains("integration"), "the app of another provider: {message}");
}

#[test]
fn missing_configuration_shows_an_example() {
    let rig = Rig::new(cloud(1));
    let home = rig.directory.path().join("home");
    let mut command = rig.meetfs();
    let output =
        run(command.args(["login", "acme"]).env("XDG_CONFIG_HOME", &home), COMMAND_TIMEOUT);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{message}");
    assert!(message.contains("client_id = ") && !message.contains("account_id"), "{message}");
    // If the example is the configuration, the hint is to sign in.
    let (_, example) = message.split_once("\n\n").expect("an example");
    rig.write_config(&format!("{example}\noauth_url = \"{}\"\n", rig.cloud.oauth_url()));
    let secret = rig.directory.path().join("acme.secret");
    std::fs::write(&secret, "demo-secret").expect("a secret");
    std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .expect("a mode");
    let (login, _) = begin(&rig, free_port());
    drop(login);
}

#[test]
fn source_with_credentials_needs_no_login() {
    let rig = Rig::new(cloud(1));
    rig.write_config(&rig.config());
    let output = run(&mut login_command(&rig, free_port()), COMMAND_TIMEOUT);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    assert!(text(&output).contains("needs no login"), "{}", text(&output));
}

#[test]
fn webex_sign_in_works_like_zoom() {
    let options = DemoCloudOptions {
        webex_archive: meetfs::demo_cloud::WebexArchive::demo(),
        ..DemoCloudOptions::default()
    };
    let rig = Rig::new(options);
    let app = rig.cloud.webex_credentials();
    rig.write_config(&format!(
        "timezone = \"UTC\"\n[cache]\ndir = \"{}\"\n[source.acme]\nprovider = \"webex\"\nclient_id = \"{}\"\n\
         client_secret = \"{}\"\napi_url = \"{}\"\noauth_url = \"{}\"\n",
        rig.directory.path().join("cache").display(),
        app.client_id,
        app.client_secret,
        rig.cloud.webex_api_url(),
        rig.cloud.webex_oauth_url(),
    ));
    sign_in(&rig);
    mount(&rig);
    assert_ne!(rig.shell("find acme -name '*.mp4' | wc -l").trim(), "0");
    assert_eq!(rig.cloud.webex_sign_in_counts().sign_ins, 1);
    rig.unmount();
}

#[test]
fn browser_reports_success_only_after_the_exchange() {
    let rig = Rig::new(cloud(1));
    write_config(
        &rig,
        &UserApp { client_secret: Some("another-s3cret".into()), ..UserApp::demo() },
    );
    let (mut login, address) = begin(&rig, free_port());
    let page = browse(&address);
    assert!(page.contains("The sign-in failed"), "{page}");
    assert_eq!(login.end(COMMAND_TIMEOUT).0.code(), Some(3), "{}", login.output());
    assert!(login.output().contains("Check client_id, and client_secret"), "{}", login.output());
    assert!(!login.output().contains("another-s3cret"), "{}", login.output());
    assert!(sign_in_files(&rig).is_empty());
}

#[test]
fn idle_connections_do_not_block_the_browser() {
    let rig = Rig::new(cloud(1));
    write_config(&rig, &UserApp::demo());
    let port = free_port();
    let (mut login, address) = begin(&rig, port);
    let idle: Vec<_> = (0..40)
        .map(|number| {
            let mut connection =
                std::net::TcpStream::connect(("127.0.0.1", port)).expect("a connection");
            // Some clients begin a request and never complete it.
            let beginning = if number % 2 == 0 { "GET /?code=" } else { "" };
            connection.write_all(beginning.as_bytes()).expect("a beginning");
            connection
        })
        .collect();
    let redirected_url = redirect_url(&address);
    let page = curl(&["--max-time", "50", &redirected_url]);
    assert!(page.contains("You are signed in"), "{page}");
    assert_eq!(login.end(COMMAND_TIMEOUT).0.code(), Some(0), "{}", login.output());
    drop(idle);
}

#[test]
fn page_repeats_nothing_of_its_request() {
    let rig = Rig::new(cloud(1));
    write_config(&rig, &UserApp::demo());
    let port = free_port();
    let (mut login, address) = begin(&rig, port);
    let state =
        address.split(['?', '&']).find(|field| field.starts_with("state=")).expect("a state");
    let script = "%3Cscript%3Ealert(1)%3C/script%3E";
    for place in [
        format!("?error={script}&state={script}"),
        format!("?code={script}&state=x&{script}"),
        format!("{script}?{state}&error=x"),
        format!(
            "?error={script}%1b%5b31m%0aeverything%20is%20fine&error_description={script}&{state}"
        ),
    ] {
        let page =
            curl(&["-i", "-H", "Host: evil.example", &format!("http://127.0.0.1:{port}/{place}")]);
        assert!(page.contains("content-security-policy: default-src 'none'"), "{page}");
        assert!(
            page.contains("cache-control: no-store")
                && page.contains("referrer-policy: no-referrer")
        );
        assert!(
            !page.contains("script") && !page.contains("alert") && !page.contains("fine"),
            "{page}"
        );
    }
    assert_eq!(login.end(COMMAND_TIMEOUT).0.code(), Some(3), "{}", login.output());
    let message = login.output();
    let after = message.split_once(&address).expect("the address").1;
    assert!(!after.contains(['<', '\x1b']) && after.trim().lines().count() == 2, "{after:?}");
    assert!(sign_in_files(&rig).is_empty());
}

#[test]
fn two_concurrent_logins_store_one_sign_in() {
    let rig = Rig::new(cloud(1));
    write_config(&rig, &UserApp::demo());
    let (mut first, of_first) = begin(&rig, free_port());
    let (mut second, of_second) = begin(&rig, free_port());
    // Each login refuses the redirect of the other.
    let swapped_port_url =
        redirect_url(&of_first).replace(&port_of(&of_first), &port_of(&of_second));
    assert!(curl(&[&swapped_port_url]).contains("does not belong"));
    let redirect_urls = [redirect_url(&of_first), redirect_url(&of_second)];
    let browsers: Vec<_> = redirect_urls
        .into_iter()
        .map(|redirected_url| std::thread::spawn(move || curl(&[&redirected_url])))
        .collect();
    for browser in browsers {
        assert!(browser.join().expect("a browser").contains("You are signed in"));
    }
    for login in [&mut first, &mut second] {
        assert_eq!(login.end(COMMAND_TIMEOUT).0.code(), Some(0), "{}", login.output());
    }
    assert_eq!(sign_in_files(&rig).len(), 1);
    assert_eq!(rig.cloud.sign_in_counts().sign_ins, 2);
    rig.cloud.expire_tokens();
    mount(&rig);
    assert_exact(&rig);
    rig.unmount();
}

/// Returns the port of the redirect URL.
fn port_of(address: &str) -> String {
    let (_, after) = address.split_once("127.0.0.1%3A").expect("a redirect");
    after.chars().take_while(char::is_ascii_digit).collect()
}

#[test]
fn interrupted_login_leaves_no_file_and_loses_none() {
    let rig = Rig::new(cloud(1));
    write_config(&rig, &UserApp::demo());
    sign_in(&rig);
    let [file] = sign_in_files(&rig).try_into().expect("one sign-in");
    let before = std::fs::read(&file).expect("a file");
    let port = free_port();
    for signal in ["INT", "TERM"] {
        let (mut login, _) = begin(&rig, port);
        login.signal(signal);
        let (status, _) = login.end(COMMAND_TIMEOUT);
        assert!(!status.success(), "{status}: {}", login.output());
        let directory =
            std::fs::read_dir(file.parent().expect("a directory")).expect("a directory");
        let names: Vec<_> = directory.flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(names.len(), 2, "the file and its lock: {names:?}");
        assert_eq!(std::fs::read(&file).expect("a file"), before);
    }
    mount(&rig);
    assert_exact(&rig);
    rig.unmount();
}

#[test]
fn invalid_token_reply_is_reported_and_not_stored() {
    let rig = Rig::new(cloud(1));
    write_config(&rig, &UserApp::demo());
    let answer = |status, body: &str| Effect::Status {
        status,
        body: body.into(),
        content_type: "application/json".into(),
        headers: Vec::new(),
    };
    for (status, body, words, code) in [
        (200, r#"{"access_token":"acc3ss","expires_in":3599}"#, "returned no refresh token", 3),
        (200, r#"{"access_token":"acc3ss","refresh_token":""}"#, "returned no refresh token", 3),
        (200, r#"{"refresh_token":"r3fresh"}"#, "returned no token", 1),
        (200, "<html>Sign in</html>", "returned no token", 1),
        (
            400,
            r#"{"reason":"Invalid authorization code","error":"invalid_request"}"#,
            "An authorization code works once",
            3,
        ),
        (401, r#"{"reason":"Invalid client","error":"invalid_client"}"#, "Check client_id", 3),
        (404, "", "Check oauth_url", 1),
    ] {
        rig.cloud.inject(
            Trigger::always(Server::Api)
                .with_path("/oauth/token")
                .with_effect(answer(status, body)),
        );
        let (mut login, address) = begin(&rig, free_port());
        assert!(browse(&address).contains("The sign-in failed"), "{body}");
        assert_eq!(login.end(COMMAND_TIMEOUT).0.code(), Some(code), "{body}: {}", login.output());
        let message = login.output();
        assert!(
            message.contains(words) && !message.contains("acc3ss") && !message.contains("r3fresh"),
            "{message}"
        );
        assert!(sign_in_files(&rig).is_empty());
        rig.cloud.clear_faults();
    }
    let unusual_reply = r#"{"access_token":"acc3ss","refresh_token":"r3fresh","expires_in":"9e99","scope":"a:b \u001b[31mred c:d","api_url":7}"#;
    rig.cloud.inject(
        Trigger::always(Server::Api)
            .with_path("/oauth/token")
            .with_effect(answer(200, unusual_reply)),
    );
    let (mut login, address) = begin(&rig, free_port());
    assert!(browse(&address).contains("You are signed in"));
    assert_eq!(login.end(COMMAND_TIMEOUT).0.code(), Some(0), "{}", login.output());
    assert!(login.output().contains("Granted scopes: a:b c:d\n"), "{}", login.output());
}
