//! Every reply of the APIs against what is known of the real ones: field names, types, date
//! formats, and paging.
//!
//! Names and types are those of the vendors' references ("Cloud Recording", "Past meetings" and
//! "Users" at developers.zoom.us, "Recordings" and "Meeting Transcripts" at developer.webex.com,
//! help.rapatin.id). Where real replies differ, the tables follow the replies.

use jiff::{SignedDuration, Timestamp, ToSpan};
use meetfs::demo_cloud::{
    Archive, DemoCloud, DemoCloudOptions, Effect, RapatinSession, RetryAfter, Server, Trigger,
    WebexArchive, WebexRecording,
};
use serde_json::{Value, json};

use super::client::{Answer, api, bearer, get, send};
use super::shape::Kind::{
    Count, CountAsText, CountOrText, Day, Flag, Link, LinkOrEmpty, ListOf, Moment, MomentOrEmpty,
    Name, Object, OneOf, OneOrMore, Text, Texts, TimeOfDay,
};
use super::shape::{Checked, Field, always, may};

fn cloud() -> DemoCloud {
    DemoCloud::start(DemoCloudOptions {
        archive: Archive::demo(),
        webex_archive: WebexArchive::demo(),
        rapatin_sessions: RapatinSession::demo(),
        ..DemoCloudOptions::default()
    })
    .unwrap()
}

fn json_of(answer: &Answer) -> Value {
    let kind = answer.header("content-type").unwrap_or_default();
    assert!(kind.starts_with("application/json"), "{answer:?}");
    answer.json()
}

/// Paths of Zoom listings that cover the whole archive.
fn zoom_windows() -> Vec<String> {
    let today = jiff::tz::Offset::UTC.to_datetime(Timestamp::now()).date();
    let windows = (0..4).map(|window| {
        let to = today.saturating_sub((30 * window).days());
        format!("page_size=300&from={}&to={to}", to.saturating_sub(29.days()))
    });
    windows.collect()
}

/// Lists the recordings of the whole account.
fn zoom_meetings(cloud: &DemoCloud) -> Vec<Value> {
    let of = |window: &String| {
        let reply = json_of(&api(cloud, &format!("/accounts/me/recordings?{window}")));
        reply["meetings"].as_array().unwrap().clone()
    };
    zoom_windows().iter().flat_map(of).collect()
}

/// Encodes an id twice, which every path accepts.
fn encoded(uuid: &str) -> String {
    let once = |text: &str| {
        percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
    };
    once(&once(uuid))
}

const ZOOM_FILE: &[Field] = &[
    may("id", Name),
    always("meeting_id", Name),
    always("recording_start", Moment),
    always("recording_end", MomentOrEmpty),
    always("file_type", Text),
    may("file_extension", Text),
    may("file_size", CountOrText),
    may("status", OneOf(&["completed", "processing", ""])),
    may("recording_type", Name),
    may("play_url", Link),
    may("download_url", Link),
    may("file_path", Name),
];

const ZOOM_TRASHED_FILE: &[Field] = &[
    may("id", Name),
    always("meeting_id", Name),
    always("recording_start", Moment),
    always("recording_end", Moment),
    always("file_type", Name),
    always("file_extension", Name),
    may("file_size", Count),
    may("status", OneOf(&["completed"])),
    may("recording_type", Name),
    may("play_url", Link),
    always("download_url", Link),
    always("deleted_time", Moment),
];

const ZOOM_MEETING: &[Field] = &[
    always("uuid", Name),
    always("id", CountOrText),
    always("account_id", Name),
    always("host_id", Text),
    always("host_email", Name),
    always("topic", Text),
    always("type", CountOrText),
    always("start_time", Moment),
    always("timezone", Text),
    always("duration", Count),
    always("total_size", CountOrText),
    always("recording_count", CountOrText),
    always("share_url", Link),
    always("recording_play_passcode", Name),
    may("auto_delete", Flag),
    may("auto_delete_date", Day),
    may("recording_files", ListOf(ZOOM_FILE)).or_null(),
];

const ZOOM_LISTING: &[Field] = &[
    always("from", Day),
    always("to", Day),
    always("page_count", Count),
    always("page_size", Count),
    always("total_records", Count),
    always("next_page_token", Text),
    always("meetings", ListOf(ZOOM_MEETING)),
];

#[test]
fn zoom_listings_have_the_documented_fields() {
    let cloud = cloud();
    let mut checked = Checked::default();
    for window in zoom_windows() {
        for whose in ["accounts/me", "users/me", "users/guest%40example.org"] {
            let reply = json_of(&api(&cloud, &format!("/{whose}/recordings?{window}")));
            checked.reply(&reply, ZOOM_LISTING);
        }
    }
    checked.assert_whole(ZOOM_LISTING);
}

#[test]
fn captions_timelines_and_processing_files_are_sparse() {
    let meetings = zoom_meetings(&cloud());
    let files =
        || meetings.iter().filter_map(|meeting| meeting["recording_files"].as_array()).flatten();
    let terse: Vec<_> = files()
        .filter(|file| matches!(file["file_type"].as_str(), Some("CC" | "TIMELINE")))
        .collect();
    let left_out = ["id", "status", "file_size", "recording_type", "play_url"];
    assert!(terse.len() > 1);
    for file in terse {
        assert!(left_out.iter().all(|name| file.get(name).is_none()), "{file}");
    }
    let processing: Vec<_> = files().filter(|file| file["status"] == "processing").collect();
    assert!(!processing.is_empty());
    for file in processing {
        let blank = ["file_type", "file_extension", "recording_end"].map(|name| &file[name]);
        assert_eq!((blank, &file["file_size"]), ([&json!(""); 3], &json!(0)));
    }
}

#[test]
fn zoom_pages_add_up_to_their_totals() {
    let options = DemoCloudOptions {
        archive: Archive::with_meetings(70, 10),
        max_page_size: 300,
        ..DemoCloudOptions::default()
    };
    let cloud = DemoCloud::start(options).unwrap();
    let window = zoom_windows().remove(0).replace("page_size=300&", "");
    let (mut token, mut uuids, mut sizes) = (String::new(), Vec::new(), Vec::new());
    loop {
        let reply = json_of(&api(
            &cloud,
            &format!("/users/me/recordings?{window}&next_page_token={token}"),
        ));
        let page = reply["meetings"].as_array().unwrap();
        let counts =
            ["page_count", "page_size", "total_records"].map(|name| reply[name].as_u64().unwrap());
        assert_eq!(counts, [3, 30, 70]);
        sizes.push(page.len());
        uuids.extend(page.iter().map(|meeting| meeting["uuid"].to_string()));
        token = reply["next_page_token"].as_str().unwrap().to_owned();
        if token.is_empty() {
            break;
        }
    }
    uuids.sort();
    uuids.dedup();
    assert_eq!((sizes, uuids.len()), (vec![30, 30, 10], 70));
    let most = json_of(&api(&cloud, &format!("/users/me/recordings?{window}&page_size=1000")));
    assert_eq!(most["page_size"], 300);
}

const ZOOM_AUDIO: &[Field] = &[
    always("id", Name),
    always("file_name", Name),
    always("file_type", Name),
    always("file_extension", Name),
    always("file_size", Count),
    always("recording_start", Moment),
    always("recording_end", Moment),
    always("download_url", Link),
    always("play_url", Link),
    always("status", OneOf(&["completed"])),
];

const ZOOM_MEETING_PAGE: &[Field] = &[
    always("uuid", Name),
    always("id", CountOrText),
    always("account_id", Name),
    always("host_id", Text),
    always("host_email", Name),
    always("topic", Text),
    always("type", CountOrText),
    always("start_time", Moment),
    always("timezone", Text),
    always("duration", Count),
    always("total_size", CountOrText),
    always("recording_count", CountOrText),
    always("share_url", Link),
    always("recording_play_passcode", Name),
    may("auto_delete", Flag),
    may("auto_delete_date", Day),
    always("recording_files", ListOf(ZOOM_FILE)),
    always("password", Name),
    always("participant_audio_files", ListOf(ZOOM_AUDIO)),
    may("download_access_token", Name),
];

#[test]
fn zoom_meeting_adds_passcodes_audio_and_token() {
    let cloud = cloud();
    let mut checked = Checked::default();
    for meeting in zoom_meetings(&cloud) {
        let path = format!("/meetings/{}/recordings", encoded(meeting["uuid"].as_str().unwrap()));
        if meeting["recording_files"].as_array().is_none_or(Vec::is_empty) {
            let answer = api(&cloud, &path);
            assert_eq!((answer.status, answer.code()), (404, Some(3301)), "{meeting}");
            continue;
        }
        for query in ["", "?include_fields=download_access_token&ttl=60"] {
            let reply = json_of(&api(&cloud, &format!("{path}{query}")));
            assert_eq!(reply.get("download_access_token").is_some(), !query.is_empty());
            checked.reply(&reply, ZOOM_MEETING_PAGE);
        }
    }
    checked.assert_whole(ZOOM_MEETING_PAGE);
}

const ZOOM_TRASH: &[Field] = &[
    always("from", Day),
    always("to", Day),
    always("page_count", Count),
    always("page_size", Count),
    always("total_records", Count),
    always("next_page_token", Text),
    always("meetings", ListOf(ZOOM_TRASHED)),
];

const ZOOM_TRASHED: &[Field] = &[
    always("uuid", Name),
    always("id", Count),
    always("account_id", Name),
    always("host_id", Name),
    always("host_email", Name),
    always("topic", Name),
    always("type", Count),
    always("start_time", Moment),
    always("timezone", Text),
    always("duration", Count),
    always("total_size", Count),
    always("recording_count", Count),
    always("share_url", Link),
    always("recording_play_passcode", Name),
    may("auto_delete", Flag),
    may("auto_delete_date", Day),
    always("recording_files", ListOf(ZOOM_TRASHED_FILE)),
];

#[test]
fn trashed_zoom_files_state_deletion_time() {
    let cloud = cloud();
    let (whole, part) = ("W1eeklyAAAAAAAAAAAA==", "aB3xY9QWeRtYuIoP1A==");
    let day = jiff::tz::Offset::UTC.to_datetime(Timestamp::now()).date();
    assert!(cloud.change_meeting(whole, |meeting| meeting.auto_delete_date = Some(day)));
    assert!(cloud.trash_meeting(whole, Timestamp::UNIX_EPOCH));
    assert!(cloud.trash_files(part, "CC", Timestamp::UNIX_EPOCH));
    let mut checked = Checked::default();
    for (kind, uuid) in [("meeting_recordings", whole), ("recording_file", part)] {
        let reply =
            json_of(&api(&cloud, &format!("/users/me/recordings?trash=true&trash_type={kind}")));
        // The demo's own deleted meeting is there, too.
        assert!(
            reply["meetings"].as_array().unwrap().iter().any(|meeting| meeting["uuid"] == uuid),
            "{reply}"
        );
        checked.reply(&reply, ZOOM_TRASH);
    }
    checked.assert_whole(ZOOM_TRASH);
}

const ZOOM_PAST: &[Field] = &[
    always("uuid", Name),
    always("id", Count),
    always("host_id", Text),
    always("type", Count),
    always("topic", Text),
    always("user_name", Name).or_null(),
    always("user_email", Name),
    always("start_time", Moment),
    always("end_time", Moment),
    always("duration", Count),
    always("total_minutes", Count),
    always("participants_count", Count),
    always("dept", Text),
    always("source", Text),
];

const ZOOM_PARTICIPANTS: &[Field] = &[
    always("page_count", Count),
    always("page_size", Count),
    always("total_records", Count),
    always("next_page_token", Text),
    always(
        "participants",
        ListOf(&[
            always("id", Text),
            always("user_id", CountAsText),
            always("name", Name),
            always("user_email", Text),
            always("join_time", Moment),
            always("leave_time", Moment),
            always("duration", Count),
            always("registrant_id", Text),
            always("failover", Flag),
            always("status", OneOf(&["in_meeting", "in_waiting_room"])),
            always("internal_user", Flag),
        ]),
    ),
];

const ZOOM_INSTANCES: &[Field] =
    &[always("meetings", ListOf(&[always("uuid", Name), always("start_time", Moment)]))];

#[test]
fn zoom_past_meetings_have_the_documented_fields() {
    let cloud = cloud();
    let [mut past, mut participants, mut instances] = [(); 3].map(|()| Checked::default());
    let mut too_old = 0;
    for meeting in zoom_meetings(&cloud) {
        let path = format!("/past_meetings/{}", encoded(meeting["uuid"].as_str().unwrap()));
        let answer = api(&cloud, &path);
        if answer.status == 400 {
            assert_eq!(answer.code(), Some(12702));
            too_old += 1;
            continue;
        }
        past.reply(&json_of(&answer), ZOOM_PAST);
        participants
            .reply(&json_of(&api(&cloud, &format!("{path}/participants"))), ZOOM_PARTICIPANTS);
        let number =
            meeting["id"].as_str().map_or_else(|| meeting["id"].to_string(), str::to_owned);
        instances.reply(
            &json_of(&api(&cloud, &format!("/past_meetings/{number}/instances"))),
            ZOOM_INSTANCES,
        );
    }
    assert!(too_old > 0);
    past.assert_whole(ZOOM_PAST);
    participants.assert_whole(ZOOM_PARTICIPANTS);
    instances.assert_whole(ZOOM_INSTANCES);
}

const ZOOM_USERS: &[Field] = &[
    always("page_count", Count),
    always("page_number", Count),
    always("page_size", Count),
    always("total_records", Count),
    always("next_page_token", Text),
    always(
        "users",
        ListOf(&[
            always("id", Name),
            always("email", Name),
            may("first_name", Name),
            may("last_name", Name),
            always("type", Count),
            always("status", OneOf(&["active", "inactive", "pending"])),
            always("timezone", Name),
            always("account_id", Name),
        ]),
    ),
];

#[test]
fn zoom_users_have_documented_fields_and_requested_status() {
    let cloud = cloud();
    let mut checked = Checked::default();
    for standing in ["active", "inactive", "pending"] {
        let reply = json_of(&api(&cloud, &format!("/users?status={standing}&page_size=300")));
        assert!(reply["users"].as_array().unwrap().iter().all(|user| user["status"] == standing));
        checked.reply(&reply, ZOOM_USERS);
    }
    checked.assert_whole(ZOOM_USERS);
}

#[test]
fn zoom_errors_and_tokens_have_documented_fields() {
    const ERROR: &[Field] = &[always("code", Count), always("message", Name)];
    const TOKEN: &[Field] = &[
        always("access_token", Name),
        always("token_type", OneOf(&["bearer"])),
        always("expires_in", Count),
        always("scope", Name),
        always("api_url", Link),
    ];
    const REFUSED: &[Field] = &[always("reason", Name), always("error", Name)];
    let cloud = cloud();
    let mut errors = Checked::default();
    for path in
        ["/users/none/recordings", "/meetings/none/recordings", "/nothing", "/users?page_size=0"]
    {
        let answer = api(&cloud, path);
        assert!((400..500).contains(&answer.status), "{answer:?}");
        errors.reply(&json_of(&answer), ERROR);
    }
    errors.reply(&json_of(&get(&format!("{}/users", cloud.api_url()))), ERROR);
    cloud.inject(
        Trigger::next(Server::Api, 1).with_effect(Effect::TooManyRequests(RetryAfter::None)),
    );
    let limited = api(&cloud, "/users");
    assert_eq!(
        (limited.status, limited.code(), limited.header("retry-after")),
        (429, Some(429), None)
    );
    errors.reply(&json_of(&limited), ERROR);
    errors.assert_whole(ERROR);

    let known = cloud.credentials();
    let sign_in = |secret: &str| {
        use base64::Engine;
        let pair = format!("{}:{secret}", known.client_id);
        let basic = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
        let form = format!("grant_type=account_credentials&account_id={}", known.account_id);
        send("POST", &cloud.oauth_url(), &[("Authorization", &basic)], &form)
    };
    let [mut tokens, mut refusals] = [(); 2].map(|()| Checked::default());
    tokens.reply(&json_of(&sign_in(&known.client_secret)), TOKEN);
    tokens.assert_whole(TOKEN);
    refusals.reply(&json_of(&sign_in("wrong")), REFUSED);
    refusals.assert_whole(REFUSED);
}

fn webex(cloud: &DemoCloud, path: &str) -> Answer {
    let (name, value) = bearer(&cloud.webex_token());
    send("GET", &format!("{}{path}", cloud.webex_api_url()), &[(name, &value)], "")
}

/// The documented fields of a listed recording. The details add URLs.
macro_rules! webex_recording {
    ($($more:expr),*) => {
        &[
            always("id", Name),
            always("meetingId", Name),
            always("scheduledMeetingId", Name),
            always("meetingSeriesId", Name),
            always("topic", Name),
            always("createTime", Moment),
            always("timeRecorded", Moment),
            always("siteUrl", Name),
            may("downloadUrl", Link),
            always("playbackUrl", Link),
            always("password", Name),
            always("format", OneOf(&["MP4", "ARF", "UPLOADED"])),
            always("serviceType", OneOf(&["MeetingCenter", "EventCenter", "TrainingCenter", "SupportCenter"])),
            always("durationSeconds", CountOrText),
            may("sizeBytes", CountOrText),
            always("shareToMe", Flag),
            always("integrationTags", Texts),
            always("status", OneOf(&["available", "deleted", "purged"])),
            $($more),*
        ]
    };
}

const WEBEX_LIST: &[Field] = &[always("items", ListOf(webex_recording!(may("hostEmail", Name))))];

const WEBEX_DETAIL: &[Field] = webex_recording!(
    always("hostEmail", Name),
    may(
        "temporaryDirectDownloadLinks",
        Object(&[
            always("recordingDownloadLink", Link),
            may("audioDownloadLink", Link),
            may("transcriptDownloadLink", Link),
            always("expiration", Moment),
        ])
    )
);

const WEBEX_TRANSCRIPTS: &[Field] = &[always(
    "items",
    ListOf(&[
        always("id", Name),
        always("siteUrl", Name),
        always("startTime", Moment),
        always("meetingTopic", Name),
        always("meetingId", Name),
        always("scheduledMeetingId", Name),
        always("meetingSeriesId", Name),
        always("hostUserId", Name),
        always("vttDownloadLink", Link),
        always("txtDownloadLink", Link),
        always("status", OneOf(&["available"])),
    ]),
)];

#[test]
fn webex_lists_details_and_transcripts_have_documented_fields() {
    let cloud = cloud();
    let sized =
        WebexRecording::new("unsized", "No size", Timestamp::now() - SignedDuration::from_hours(9));
    cloud.add_webex_recording(WebexRecording {
        listed_size: meetfs::demo_cloud::ListedSize::Absent,
        ..sized
    });
    let since = Timestamp::now() - SignedDuration::from_hours(24 * 100);
    let [mut lists, mut details, mut transcripts] = [(); 3].map(|()| Checked::default());
    for query in ["", "&hostEmail=demo%40example.org"] {
        let list = json_of(&webex(&cloud, &format!("/recordings?max=100&from={since}{query}")));
        lists.reply(&list, WEBEX_LIST);
        for recording in list["items"].as_array().unwrap() {
            let id = recording["id"].as_str().unwrap();
            details.reply(&json_of(&webex(&cloud, &format!("/recordings/{id}"))), WEBEX_DETAIL);
            let meeting = recording["meetingId"].as_str().unwrap();
            let found = webex(&cloud, &format!("/meetingTranscripts?meetingId={meeting}"));
            transcripts.reply(&json_of(&found), WEBEX_TRANSCRIPTS);
        }
    }
    let owner = format!("&hostEmail={}", Archive::OWNER_EMAIL.replace('@', "%40"));
    lists.reply(
        &json_of(&webex(&cloud, &format!("/recordings?max=100&from={since}{owner}"))),
        WEBEX_LIST,
    );
    lists.assert_whole(WEBEX_LIST);
    details.assert_whole(WEBEX_DETAIL);
    transcripts.assert_whole(WEBEX_TRANSCRIPTS);
}

#[test]
fn webex_errors_and_tokens_have_documented_fields() {
    const ERROR: &[Field] = &[
        always("message", Name),
        always("errors", ListOf(&[always("description", Name)])),
        always("trackingId", Name),
    ];
    const TOKEN: &[Field] = &[
        always("access_token", Name),
        always("expires_in", Count),
        always("refresh_token", Name),
        always("refresh_token_expires_in", Count),
        always("token_type", OneOf(&["Bearer"])),
        always("scope", Name),
    ];
    let cloud = cloud();
    let mut errors = Checked::default();
    errors.reply(&json_of(&get(&format!("{}/recordings", cloud.webex_api_url()))), ERROR);
    errors.reply(&json_of(&webex(&cloud, "/recordings/none")), ERROR);
    errors.reply(&json_of(&webex(&cloud, "/recordings?max=0")), ERROR);
    errors.assert_whole(ERROR);
    let known = cloud.webex_credentials();
    let form = format!(
        "grant_type=refresh_token&client_id={}&client_secret={}&refresh_token={}",
        known.client_id, known.client_secret, known.refresh_token
    );
    let mut tokens = Checked::default();
    tokens.reply(&json_of(&send("POST", &cloud.webex_oauth_url(), &[], &form)), TOKEN);
    tokens.assert_whole(TOKEN);
}

macro_rules! rapatin_reply {
    ($data:expr) => {
        &[
            always(
                "response",
                Object(&[
                    always("status", OneOf(&["success"])),
                    always("status_code", Count),
                    always("message", Name),
                ]),
            ),
            always("data", $data),
        ]
    };
}

const RAPATIN_SCHEDULE: &[Field] = rapatin_reply!(Object(&[always(
    "items",
    ListOf(&[
        always("id", Count),
        always("topic", Name),
        always("meeting_id", CountAsText),
        always("start_date", Day),
        always("start_time", TimeOfDay),
        always("recurring", Flag),
        always("occurence_id", CountAsText).or_null(),
    ])
)]));

const RAPATIN_RECORDINGS: &[Field] = rapatin_reply!(OneOrMore(&[
    always("uuid", Name),
    always("meeting_id", CountAsText),
    always("status", OneOf(&["ready", "processing", "deleted"])),
    always("topic", Name),
    always("recorded_on", Day),
    always("delete_on", Day),
    always("share_url", Link).or_null(),
    always(
        "files",
        ListOf(&[
            always("recording_type", Name),
            always("file_type", Name),
            always("file_size", CountAsText).or_null(),
            always("download_url", Link),
            always("play_url", LinkOrEmpty),
        ])
    )
    .or_null(),
]));

#[test]
fn rapatin_replies_have_the_documented_fields() {
    let cloud = cloud();
    let token = format!("Bearer {}", cloud.rapatin_token());
    let ask = |path: &str| {
        json_of(&send(
            "GET",
            &format!("{}{path}", cloud.rapatin_api_url()),
            &[("Authorization", &token)],
            "",
        ))
    };
    let [mut schedules, mut recordings] = [(); 2].map(|()| Checked::default());
    schedules.reply(&ask("/schedules?tab=all"), RAPATIN_SCHEDULE);
    for session in RapatinSession::demo() {
        let reply = ask(&format!("/recordings/{}", session.meeting_id));
        recordings.reply(&reply, RAPATIN_RECORDINGS);
        let entries =
            reply["data"].as_array().cloned().unwrap_or_else(|| vec![reply["data"].clone()]);
        for entry in entries {
            let is_ready = entry["status"] == "ready";
            assert_eq!(
                (entry["files"].is_array(), entry["share_url"].is_string()),
                (is_ready, is_ready)
            );
        }
    }
    schedules.assert_whole(RAPATIN_SCHEDULE);
    recordings.assert_whole(RAPATIN_RECORDINGS);
}

#[test]
fn wrong_field_in_a_reply_is_reported() {
    let cloud = cloud();
    let right = json_of(&api(&cloud, &format!("/users/me/recordings?{}", zoom_windows()[0])));
    let wrong = |change: fn(&mut Value)| {
        let (mut reply, mut checked) = (right.clone(), Checked::default());
        change(&mut reply);
        checked.reply(&reply, ZOOM_LISTING);
        checked.wrong
    };
    assert_eq!(wrong(|_| {}), [""; 0]);
    type Change = fn(&mut Value);
    let changes: [(Change, &str); 6] = [
        (|it| it["from"] = json!("2026-1-2"), "/from"),
        (|it| it["surprise"] = json!(1), "/surprise"),
        (
            |it| it["meetings"][0]["start_time"] = json!("2026-01-02T03:04:05+01:00"),
            "/meetings/start_time",
        ),
        (|it| it["meetings"][0]["duration"] = json!(-1), "/meetings/duration"),
        (|it| it["meetings"][0]["share_url"] = json!("/rec/share"), "/meetings/share_url"),
        (|it| drop(it.as_object_mut().map(|it| it.remove("page_size"))), "/page_size"),
    ];
    for (change, at) in changes {
        let report = wrong(change);
        assert!(report.len() == 1 && report[0].starts_with(at), "{at}: {report:?}");
    }
}
