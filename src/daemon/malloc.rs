//! Settings of the memory allocator.

/// Makes glibc's allocator use one arena. Many threads allocate and free blocks of 1 MiB; with an
/// arena each, free space of one arena is useless to the others: reading 1 GiB from the disk cache
/// kept 457 MB resident with a budget of 128 MiB. With one arena it kept 151 MB at the same speed,
/// because allocations are too few to contend.
///
/// The allocator keeps up to [`FREED_KEPT`] bytes of freed blocks. By default it returns each block
/// to the kernel and faults it in again page by page for the next one.
pub(crate) fn limit_arenas() {
    /// A few blocks; an idle mount returns the rest.
    const FREED_KEPT: i32 = 16 * 1024 * 1024;
    /// Larger than a block with its header, so that blocks are not mapped one by one.
    const MAPPED_ALONE: i32 = 4 * 1024 * 1024;
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt(3) takes two integers and may be called at any time; no other thread runs
    // yet.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_TRIM_THRESHOLD, FREED_KEPT);
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_ALONE);
    }
}

/// Returns free memory between live allocations to the kernel. The JSON of a listing is interleaved
/// with what is kept of it, and a new tree is built next to the old one. Without this call, the
/// holes that both leave are up to a third of the resident memory.
pub(crate) fn return_free_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim(3) takes an integer and may be called at any time from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}
