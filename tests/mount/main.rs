//! The real binary, real mounts and real clients.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../support/mod.rs"]
mod support;

mod attributes;
mod automount;
mod black_hole;
mod bundle;
mod cache_command;
mod cache_directory;
mod changes;
mod clock_jumps;
mod configuration;
mod copying;
mod disk;
mod doctor;
mod exactness;
mod expiring;
mod explain;
mod failing_files;
mod faults;
mod frozen_disk;
mod getting_started;
mod help;
mod host_down;
mod hostile_listing;
mod ignored_ranges;
mod ipv6_fallback;
mod journal;
mod keep_deleted;
mod large_archives;
mod lifecycle;
mod listing;
mod log_level;
mod login;
mod matrix;
mod memory;
mod metrics;
mod mount_helper;
mod network_loss;
mod offline;
mod open_files;
mod participants;
mod patience;
mod permissions;
mod progress;
mod rapatin;
mod reading;
mod recipes;
mod refusals;
mod refused_users;
mod renewal;
mod restart;
mod search;
mod secrets;
mod service_manager;
mod status;
mod three_clouds;
mod tls_and_proxies;
mod trash;
mod unmounting;
mod unwritable_cache;
mod verify;
mod webex_late;
mod webex_mount;
