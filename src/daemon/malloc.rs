//! Settings of the memory allocator.

/// Makes glibc's allocator use one arena. Many threads allocate and free blocks of 1 MiB. With an
/// arena for each thread, memory that was freed in one arena cannot be used by another. Reading 1
/// GiB from the disk cache then kept 457 MB resident with a budget of 128 MiB. With one arena, it
/// kept 151 MB at the same speed. Contention is not a problem, because allocations are rare.
///
/// The allocator keeps up to [`TRIM_THRESHOLD`] bytes of freed blocks. By default, it returns each
/// block to the kernel and faults it in again page by page for the next one.
pub(crate) fn limit_arenas() {
    /// Maximum free memory that the allocator keeps. It is enough for a few blocks. Further free
    /// memory is returned to the kernel.
    const TRIM_THRESHOLD: i32 = 16 * 1024 * 1024;
    /// Size from which allocations are mapped separately. It is larger than a block with its
    /// header, so blocks are not mapped separately.
    const MMAP_THRESHOLD: i32 = 4 * 1024 * 1024;
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt(3) takes two integers and may be called at any time; no other thread runs
    // yet.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_TRIM_THRESHOLD, TRIM_THRESHOLD);
        libc::mallopt(libc::M_MMAP_THRESHOLD, MMAP_THRESHOLD);
    }
}

/// Returns free memory between live allocations to the kernel. The JSON of a listing is interleaved
/// in memory with the data that remains of it, and a new tree is built next to the old one. Without
/// this call, the free memory that both leave behind is up to a third of the resident memory.
pub(crate) fn return_free_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim(3) takes an integer and may be called at any time from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}
