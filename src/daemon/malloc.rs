//! How the allocator treats what is free.

/// Makes glibc's allocator use one arena. Blocks of a megabyte are made and dropped by many threads; with an arena
/// each, the free space of one is of no use to the others, and reading a gigabyte back from the disk cache held 457 MB
/// under a budget of 128 MiB. With one it held 151 MB at the same speed: there are few allocations to wait for.
///
/// Freed blocks stay with it up to [`FREED_KEPT`]: by itself it gives each back to the kernel, to take it again page by
/// page for the next one.
pub(crate) fn limit_arenas() {
    /// A few blocks' worth, so that an idle mount gives the rest back.
    const FREED_KEPT: i32 = 16 * 1024 * 1024;
    /// Above a block of a megabyte with its header.
    const MAPPED_ALONE: i32 = 4 * 1024 * 1024;
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt(3) takes two integers and may be called at any time; no other thread runs yet.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_TRIM_THRESHOLD, FREED_KEPT);
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_ALONE);
    }
}

/// Gives the kernel what has become free between things that stay. A listing of ten thousand meetings is read from JSON
/// that lies between what is kept of it, and a new tree is made beside the old one: without this the holes that both
/// leave are up to a third of what is resident.
pub(crate) fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim(3) takes an integer and may be called at any time from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}
