//! Work beside the traffic on the same processors.

/// The calling thread, and those that it starts from now on, take only processor time that nobody else wants.
///
/// A low priority would not do: a busy loop would be put off for a whole tick of the scheduler whenever the thread's
/// turn comes, several milliseconds in which no host is answered. Where everything is busy all the time, such a thread
/// still gets some thousandths: a change of keys then takes seconds instead of milliseconds. It holds nothing that a
/// loop waits for. Where the class cannot be had, the thread works as others do.
pub fn stand_back() {
    #[cfg(target_os = "linux")]
    if let Err(error) = idle_class() {
        tracing::debug!(?error, "a background thread keeps its scheduling class");
    }
}

#[cfg(target_os = "linux")]
fn idle_class() -> Result<(), thread_priority::Error> {
    use thread_priority::{NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, unix};
    let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    unix::set_thread_priority_and_policy(unix::thread_native_id(), ThreadPriority::Min, idle)
}

#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::unwrap_used)] // a thread has a class, and is joined
mod tests {
    use thread_priority::unix::{thread_native_id, thread_schedule_policy_param};
    use thread_priority::{NormalThreadSchedulePolicy, ThreadSchedulePolicy};

    fn policy() -> ThreadSchedulePolicy {
        thread_schedule_policy_param(thread_native_id()).unwrap().0
    }

    #[test]
    fn a_thread_and_those_that_it_starts_stand_back_and_no_other() {
        let before = policy();
        let within = std::thread::spawn(|| {
            super::stand_back();
            [policy(), std::thread::spawn(policy).join().unwrap()]
        });
        let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
        assert_eq!(within.join().unwrap(), [idle, idle]);
        assert_eq!(policy(), before);
    }
}
