//! Compares every reply of the demo APIs with the replies of the real ones: field names, types,
//! date formats and paging.
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
    Count, CountAsText, CountOrText, Day, Flag, ListOf, Moment, MomentOrEmpty, Name, Object, OneOf,
    OneOrMore, Text, Texts, TimeOfDay, Url, UrlOrEmpty,
};
use super::shape::{Field, ReplyChecker, optional, required};

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
    optional("id", Name),
    required("meeting_id", Name),
    required("recording_start", Moment),
    required("recording_end", MomentOrEmpty),
    required("file_type", Text),
    optional("file_extension", Text),
    optional("file_size", CountOrText),
    optional("status", OneOf(&["completed", "processing", ""])),
    optional("recording_type", Name),
    optional("play_url", Url),
    optional("download_url", Url),
    optional("file_path", Name),
];

const ZOOM_TRASHED_FILE: &[Field] = &[
    optional("id", Name),
    required("meeting_id", Name),
    required("recording_start", Moment),
    required("recording_end", Moment),
    required("file_type", Name),
    required("file_extension", Name),
    optional("file_size", Count),
    optional("status", OneOf(&["completed"])),
    optional("recording_type", Name),
    optional("play_url", Url),
    required("download_url", Url),
    required("deleted_time", Moment),
];

const ZOOM_MEETING: &[Field] = &[
    required("uuid", Name),
    required("id", CountOrText),
    required("account_id", Name),
    required("host_id", Text),
    required("host_email", Name),
    required("topic", Text),
    required("type", CountOrText),
    required("start_time", Moment),
    required("timezone", Text),
    required("duration", Count),
    required("total_size", CountOrText),
    required("recording_count", CountOrText),
    required("share_url", Url),
    required("recording_play_passcode", Name),
    optional("auto_delete", Flag),
    optional("auto_delete_date", Day),
    optional("recording_files", ListOf(ZOOM_FILE)).or_null(),
];

const ZOOM_LISTING: &[Field] = &[
    required("from", Day),
    required("to", Day),
    required("page_count", Count),
    required("page_size", Count),
    required("total_records", Count),
    required("next_page_token", Text),
    required("meetings", ListOf(ZOOM_MEETING)),
];

#[test]
fn zoom_listings_have_the_documented_fields() {
    let cloud = cloud();
    let mut checker = ReplyChecker::default();
    for window in zoom_windows() {
        for whose in ["accounts/me", "users/me", "users/guest%40example.org"] {
            let reply = json_of(&api(&cloud, &format!("/{whose}/recordings?{window}")));
            checker.check_reply(&reply, ZOOM_LISTING);
        }
    }
    checker.assert_complete(ZOOM_LISTING);
}

#[test]
fn captions_timelines_and_processing_files_lack_fields() {
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
    required("id", Name),
    required("file_name", Name),
    required("file_type", Name),
    required("file_extension", Name),
    required("file_size", Count),
    required("recording_start", Moment),
    required("recording_end", Moment),
    required("download_url", Url),
    required("play_url", Url),
    required("status", OneOf(&["completed"])),
];

const ZOOM_MEETING_PAGE: &[Field] = &[
    required("uuid", Name),
    required("id", CountOrText),
    required("account_id", Name),
    required("host_id", Text),
    required("host_email", Name),
    required("topic", Text),
    required("type", CountOrText),
    required("start_time", Moment),
    required("timezone", Text),
    required("duration", Count),
    required("total_size", CountOrText),
    required("recording_count", CountOrText),
    required("share_url", Url),
    required("recording_play_passcode", Name),
    optional("auto_delete", Flag),
    optional("auto_delete_date", Day),
    required("recording_files", ListOf(ZOOM_FILE)),
    required("password", Name),
    required("participant_audio_files", ListOf(ZOOM_AUDIO)),
    optional("download_access_token", Name),
];

#[test]
fn zoom_meeting_adds_passcodes_audio_and_token() {
    let cloud = cloud();
    let mut checker = ReplyChecker::default();
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
            checker.check_reply(&reply, ZOOM_MEETING_PAGE);
        }
    }
    checker.assert_complete(ZOOM_MEETING_PAGE);
}

const ZOOM_TRASH: &[Field] = &[
    required("from", Day),
    required("to", Day),
    required("page_count", Count),
    required("page_size", Count),
    required("total_records", Count),
    required("next_page_token", Text),
    required("meetings", ListOf(ZOOM_TRASHED)),
];

const ZOOM_TRASHED: &[Field] = &[
    required("uuid", Name),
    required("id", Count),
    required("account_id", Name),
    required("host_id", Name),
    required("host_email", Name),
    required("topic", Name),
    required("type", Count),
    required("start_time", Moment),
    required("timezone", Text),
    required("duration", Count),
    required("total_size", Count),
    required("recording_count", Count),
    required("share_url", Url),
    required("recording_play_passcode", Name),
    optional("auto_delete", Flag),
    optional("auto_delete_date", Day),
    required("recording_files", ListOf(ZOOM_TRASHED_FILE)),
];

#[test]
fn trashed_zoom_files_state_deletion_time() {
    let cloud = cloud();
    let (whole, part) = ("W1eeklyAAAAAAAAAAAA==", "aB3xY9QWeRtYuIoP1A==");
    let day = jiff::tz::Offset::UTC.to_datetime(Timestamp::now()).date();
    assert!(cloud.change_meeting(whole, |meeting| meeting.auto_delete_date = Some(day)));
    assert!(cloud.trash_meeting(whole, Timestamp::UNIX_EPOCH));
    assert!(cloud.trash_files(part, "CC", Timestamp::UNIX_EPOCH));
    let mut checker = ReplyChecker::default();
    for (kind, uuid) in [("meeting_recordings", whole), ("recording_file", part)] {
        let reply =
            json_of(&api(&cloud, &format!("/users/me/recordings?trash=true&trash_type={kind}")));
        // The list also contains the deleted meeting of the demo archive.
        assert!(
            reply["meetings"].as_array().unwrap().iter().any(|meeting| meeting["uuid"] == uuid),
            "{reply}"
        );
        checker.check_reply(&reply, ZOOM_TRASH);
    }
    checker.assert_complete(ZOOM_TRASH);
}

const ZOOM_PAST: &[Field] = &[
    required("uuid", Name),
    required("id", Count),
    required("host_id", Text),
    required("type", Count),
    required("topic", Text),
    required("user_name", Name).or_null(),
    required("user_email", Name),
    required("start_time", Moment),
    required("end_time", Moment),
    required("duration", Count),
    required("total_minutes", Count),
    required("participants_count", Count),
    required("dept", Text),
    required("source", Text),
];

const ZOOM_PARTICIPANTS: &[Field] = &[
    required("page_count", Count),
    required("page_size", Count),
    required("total_records", Count),
    required("next_page_token", Text),
    required(
        "participants",
        ListOf(&[
            required("id", Text),
            required("user_id", CountAsText),
            required("name", Name),
            required("user_email", Text),
            required("join_time", Moment),
            required("leave_time", Moment),
            required("duration", Count),
            required("registrant_id", Text),
            required("failover", Flag),
            required("status", OneOf(&["in_meeting", "in_waiting_room"])),
            required("internal_user", Flag),
        ]),
    ),
];

const ZOOM_INSTANCES: &[Field] =
    &[required("meetings", ListOf(&[required("uuid", Name), required("start_time", Moment)]))];

#[test]
fn zoom_past_meetings_have_the_documented_fields() {
    let cloud = cloud();
    let [mut past_meetings, mut participants, mut instances] =
        [(); 3].map(|()| ReplyChecker::default());
    let mut too_old = 0;
    for meeting in zoom_meetings(&cloud) {
        let path = format!("/past_meetings/{}", encoded(meeting["uuid"].as_str().unwrap()));
        let answer = api(&cloud, &path);
        if answer.status == 400 {
            assert_eq!(answer.code(), Some(12702));
            too_old += 1;
            continue;
        }
        past_meetings.check_reply(&json_of(&answer), ZOOM_PAST);
        participants.check_reply(
            &json_of(&api(&cloud, &format!("{path}/participants"))),
            ZOOM_PARTICIPANTS,
        );
        let number =
            meeting["id"].as_str().map_or_else(|| meeting["id"].to_string(), str::to_owned);
        instances.check_reply(
            &json_of(&api(&cloud, &format!("/past_meetings/{number}/instances"))),
            ZOOM_INSTANCES,
        );
    }
    assert!(too_old > 0);
    past_meetings.assert_complete(ZOOM_PAST);
    participants.assert_complete(ZOOM_PARTICIPANTS);
    instances.assert_complete(ZOOM_INSTANCES);
}

const ZOOM_USERS: &[Field] = &[
    required("page_count", Count),
    required("page_number", Count),
    required("page_size", Count),
    required("total_records", Count),
    required("next_page_token", Text),
    required(
        "users",
        ListOf(&[
            required("id", Name),
            required("email", Name),
            optional("first_name", Name),
            optional("last_name", Name),
            required("type", Count),
            required("status", OneOf(&["active", "inactive", "pending"])),
            required("timezone", Name),
            required("account_id", Name),
        ]),
    ),
];

#[test]
fn zoom_users_have_documented_fields_and_requested_status() {
    let cloud = cloud();
    let mut checker = ReplyChecker::default();
    for standing in ["active", "inactive", "pending"] {
        let reply = json_of(&api(&cloud, &format!("/users?status={standing}&page_size=300")));
        assert!(reply["users"].as_array().unwrap().iter().all(|user| user["status"] == standing));
        checker.check_reply(&reply, ZOOM_USERS);
    }
    checker.assert_complete(ZOOM_USERS);
}

#[test]
fn zoom_errors_and_tokens_have_documented_fields() {
    const ERROR: &[Field] = &[required("code", Count), required("message", Name)];
    const TOKEN: &[Field] = &[
        required("access_token", Name),
        required("token_type", OneOf(&["bearer"])),
        required("expires_in", Count),
        required("scope", Name),
        required("api_url", Url),
    ];
    const REFUSED: &[Field] = &[required("reason", Name), required("error", Name)];
    let cloud = cloud();
    let mut errors = ReplyChecker::default();
    for path in
        ["/users/none/recordings", "/meetings/none/recordings", "/nothing", "/users?page_size=0"]
    {
        let answer = api(&cloud, path);
        assert!((400..500).contains(&answer.status), "{answer:?}");
        errors.check_reply(&json_of(&answer), ERROR);
    }
    errors.check_reply(&json_of(&get(&format!("{}/users", cloud.api_url()))), ERROR);
    cloud.inject(
        Trigger::next(Server::Api, 1).with_effect(Effect::TooManyRequests(RetryAfter::None)),
    );
    let limited = api(&cloud, "/users");
    assert_eq!(
        (limited.status, limited.code(), limited.header("retry-after")),
        (429, Some(429), None)
    );
    errors.check_reply(&json_of(&limited), ERROR);
    errors.assert_complete(ERROR);

    let credentials = cloud.credentials();
    let sign_in = |secret: &str| {
        use base64::Engine;
        let pair = format!("{}:{secret}", credentials.client_id);
        let basic = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
        let form = format!("grant_type=account_credentials&account_id={}", credentials.account_id);
        send("POST", &cloud.oauth_url(), &[("Authorization", &basic)], &form)
    };
    let [mut tokens, mut refusals] = [(); 2].map(|()| ReplyChecker::default());
    tokens.check_reply(&json_of(&sign_in(&credentials.client_secret)), TOKEN);
    tokens.assert_complete(TOKEN);
    refusals.check_reply(&json_of(&sign_in("wrong")), REFUSED);
    refusals.assert_complete(REFUSED);
}

fn webex(cloud: &DemoCloud, path: &str) -> Answer {
    let (name, value) = bearer(&cloud.webex_token());
    send("GET", &format!("{}{path}", cloud.webex_api_url()), &[(name, &value)], "")
}

/// The documented fields of a listed recording. The details add URLs.
macro_rules! webex_recording {
    ($($more:expr),*) => {
        &[
            required("id", Name),
            required("meetingId", Name),
            required("scheduledMeetingId", Name),
            required("meetingSeriesId", Name),
            required("topic", Name),
            required("createTime", Moment),
            required("timeRecorded", Moment),
            required("siteUrl", Name),
            optional("downloadUrl", Url),
            required("playbackUrl", Url),
            required("password", Name),
            required("format", OneOf(&["MP4", "ARF", "UPLOADED"])),
            required("serviceType", OneOf(&["MeetingCenter", "EventCenter", "TrainingCenter", "SupportCenter"])),
            required("durationSeconds", CountOrText),
            optional("sizeBytes", CountOrText),
            required("shareToMe", Flag),
            required("integrationTags", Texts),
            required("status", OneOf(&["available", "deleted", "purged"])),
            $($more),*
        ]
    };
}

const WEBEX_LIST: &[Field] =
    &[required("items", ListOf(webex_recording!(optional("hostEmail", Name))))];

const WEBEX_DETAIL: &[Field] = webex_recording!(
    required("hostEmail", Name),
    optional(
        "temporaryDirectDownloadLinks",
        Object(&[
            required("recordingDownloadLink", Url),
            optional("audioDownloadLink", Url),
            optional("transcriptDownloadLink", Url),
            required("expiration", Moment),
        ])
    )
);

const WEBEX_TRANSCRIPTS: &[Field] = &[required(
    "items",
    ListOf(&[
        required("id", Name),
        required("siteUrl", Name),
        required("startTime", Moment),
        required("meetingTopic", Name),
        required("meetingId", Name),
        required("scheduledMeetingId", Name),
        required("meetingSeriesId", Name),
        required("hostUserId", Name),
        required("vttDownloadLink", Url),
        required("txtDownloadLink", Url),
        required("status", OneOf(&["available"])),
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
    let [mut lists, mut details, mut transcripts] = [(); 3].map(|()| ReplyChecker::default());
    for query in ["", "&hostEmail=demo%40example.org"] {
        let list = json_of(&webex(&cloud, &format!("/recordings?max=100&from={since}{query}")));
        lists.check_reply(&list, WEBEX_LIST);
        for recording in list["items"].as_array().unwrap() {
            let id = recording["id"].as_str().unwrap();
            details
                .check_reply(&json_of(&webex(&cloud, &format!("/recordings/{id}"))), WEBEX_DETAIL);
            let meeting = recording["meetingId"].as_str().unwrap();
            let found = webex(&cloud, &format!("/meetingTranscripts?meetingId={meeting}"));
            transcripts.check_reply(&json_of(&found), WEBEX_TRANSCRIPTS);
        }
    }
    let owner = format!("&hostEmail={}", Archive::OWNER_EMAIL.replace('@', "%40"));
    lists.check_reply(
        &json_of(&webex(&cloud, &format!("/recordings?max=100&from={since}{owner}"))),
        WEBEX_LIST,
    );
    lists.assert_complete(WEBEX_LIST);
    details.assert_complete(WEBEX_DETAIL);
    transcripts.assert_complete(WEBEX_TRANSCRIPTS);
}

#[test]
fn webex_errors_and_tokens_have_documented_fields() {
    const ERROR: &[Field] = &[
        required("message", Name),
        required("errors", ListOf(&[required("description", Name)])),
        required("trackingId", Name),
    ];
    const TOKEN: &[Field] = &[
        required("access_token", Name),
        required("expires_in", Count),
        required("refresh_token", Name),
        required("refresh_token_expires_in", Count),
        required("token_type", OneOf(&["Bearer"])),
        required("scope", Name),
    ];
    let cloud = cloud();
    let mut errors = ReplyChecker::default();
    errors.check_reply(&json_of(&get(&format!("{}/recordings", cloud.webex_api_url()))), ERROR);
    errors.check_reply(&json_of(&webex(&cloud, "/recordings/none")), ERROR);
    errors.check_reply(&json_of(&webex(&cloud, "/recordings?max=0")), ERROR);
    errors.assert_complete(ERROR);
    let credentials = cloud.webex_credentials();
    let form = format!(
        "grant_type=refresh_token&client_id={}&client_secret={}&refresh_token={}",
        credentials.client_id, credentials.client_secret, credentials.refresh_token
    );
    let mut tokens = ReplyChecker::default();
    tokens.check_reply(&json_of(&send("POST", &cloud.webex_oauth_url(), &[], &form)), TOKEN);
    tokens.assert_complete(TOKEN);
}

macro_rules! rapatin_reply {
    ($data:expr) => {
        &[
            required(
                "response",
                Object(&[
                    required("status", OneOf(&["success"])),
                    required("status_code", Count),
                    required("message", Name),
                ]),
            ),
            required("data", $data),
        ]
    };
}

const RAPATIN_SCHEDULE: &[Field] = rapatin_reply!(Object(&[required(
    "items",
    ListOf(&[
        required("id", Count),
        required("topic", Name),
        required("meeting_id", CountAsText),
        required("start_date", Day),
        required("start_time", TimeOfDay),
        required("recurring", Flag),
        required("occurence_id", CountAsText).or_null(),
    ])
)]));

const RAPATIN_RECORDINGS: &[Field] = rapatin_reply!(OneOrMore(&[
    required("uuid", Name),
    required("meeting_id", CountAsText),
    required("status", OneOf(&["ready", "processing", "deleted"])),
    required("topic", Name),
    required("recorded_on", Day),
    required("delete_on", Day),
    required("share_url", Url).or_null(),
    required(
        "files",
        ListOf(&[
            required("recording_type", Name),
            required("file_type", Name),
            required("file_size", CountAsText).or_null(),
            required("download_url", Url),
            required("play_url", UrlOrEmpty),
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
    let [mut schedules, mut recordings] = [(); 2].map(|()| ReplyChecker::default());
    schedules.check_reply(&ask("/schedules?tab=all"), RAPATIN_SCHEDULE);
    for session in RapatinSession::demo() {
        let reply = ask(&format!("/recordings/{}", session.meeting_id));
        recordings.check_reply(&reply, RAPATIN_RECORDINGS);
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
    schedules.assert_complete(RAPATIN_SCHEDULE);
    recordings.assert_complete(RAPATIN_RECORDINGS);
}

#[test]
fn wrong_field_in_a_reply_is_reported() {
    let cloud = cloud();
    let valid_reply = json_of(&api(&cloud, &format!("/users/me/recordings?{}", zoom_windows()[0])));
    let errors_after = |change: fn(&mut Value)| {
        let (mut reply, mut checker) = (valid_reply.clone(), ReplyChecker::default());
        change(&mut reply);
        checker.check_reply(&reply, ZOOM_LISTING);
        checker.errors
    };
    assert_eq!(errors_after(|_| {}), [""; 0]);
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
    for (change, path) in changes {
        let errors = errors_after(change);
        assert!(errors.len() == 1 && errors[0].starts_with(path), "{path}: {errors:?}");
    }
}
