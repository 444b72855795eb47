//! Workloads of users who all wait for their answers.

use super::{ClosedLoopSettings, WorkloadSettings};
use alloc::vec::Vec;

impl WorkloadSettings {
    /// How many users there are, if everybody waits for answers and nobody has a rate; at least 1.
    ///
    /// None too where a recorded trace is replayed: it has conversations, not a number of users.
    #[must_use]
    pub fn users(&self) -> Option<u32> {
        if self.trace.is_some() {
            return None;
        }
        if self.clients.is_empty() {
            return self.closed_loop.map(|users| users.concurrency.max(1));
        }
        let mut sum = 0u32;
        for client in &self.clients {
            sum = sum.saturating_add(client.closed_loop?.concurrency.saturating_mul(client.population));
        }
        Some(sum.max(1))
    }

    /// The same workload with so many users, shared among its clients in proportion to those they have; a workload
    /// without [`WorkloadSettings::users`] stays as it is.
    ///
    /// With the workload's own number nothing changes. Otherwise clients who are alike become one client with their
    /// users, and one left without users is left out.
    #[must_use]
    pub fn with_users(&self, users: u32) -> Self {
        let mut workload = self.clone();
        let Some(own) = self.users().filter(|own| *own != users) else { return workload };
        let share = |settings: ClosedLoopSettings, concurrency: u64| ClosedLoopSettings {
            concurrency: u32::try_from(concurrency).unwrap_or(u32::MAX),
            ..settings
        };
        workload.closed_loop = self.closed_loop.map(|settings| share(settings, users.into()));
        // Each client has what the sum up to it grows by, so that nobody is lost to rounding.
        let (mut before, mut given) = (0u64, 0u64);
        let clients = workload.clients.into_iter().filter_map(|mut client| {
            let settings = client.closed_loop?;
            before += u64::from(settings.concurrency) * u64::from(client.population);
            let so_far = (before * u64::from(users) + u64::from(own) / 2) / u64::from(own);
            let concurrency = so_far - given;
            given = so_far;
            client.population = 1;
            client.closed_loop = Some(share(settings, concurrency));
            (concurrency > 0).then_some(client)
        });
        workload.clients = clients.collect::<Vec<_>>();
        workload
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::ClientSettings;

    fn client(id: &str, population: u32, concurrency: u32) -> ClientSettings {
        let closed_loop = Some(ClosedLoopSettings { concurrency, think_time_us: 7 });
        ClientSettings { id: id.into(), population, closed_loop, ..ClientSettings::default() }
    }

    fn numbers(workload: &WorkloadSettings) -> Vec<(&str, u32)> {
        let number = |client: &ClientSettings| client.closed_loop.map_or(0, |users| users.concurrency);
        workload.clients.iter().map(|client| (client.id.as_str(), client.population * number(client))).collect()
    }

    #[test]
    fn users_are_shared_among_clients_in_proportion() {
        let clients = alloc::vec![client("a", 2, 3), client("b", 1, 3), client("c", 1, 1)];
        let workload = WorkloadSettings { clients, ..WorkloadSettings::default() };
        assert_eq!(workload.users(), Some(10));
        assert_eq!(workload.with_users(10), workload);
        assert_eq!(numbers(&workload.with_users(20)), [("a", 12), ("b", 6), ("c", 2)]);
        // Up to a 0.6, up to b 0.9, up to c 1.
        assert_eq!(numbers(&workload.with_users(1)), [("a", 1)]);
        // 4.2 and 6.3 and 7.
        assert_eq!(numbers(&workload.with_users(7)), [("a", 4), ("b", 2), ("c", 1)]);
        assert!(workload.with_users(7).clients.iter().all(|c| c.closed_loop.is_some_and(|u| u.think_time_us == 7)));
    }

    #[test]
    fn a_client_with_a_rate_makes_it_no_workload_of_users() {
        let clients = alloc::vec![client("a", 1, 3), ClientSettings::default()];
        let mut workload = WorkloadSettings { clients, ..WorkloadSettings::default() };
        assert_eq!((workload.users(), workload.with_users(9)), (None, workload.clone()));
        workload.clients.pop();
        assert_eq!(workload.users(), Some(3));
        workload.clients.clear();
        workload.closed_loop = Some(ClosedLoopSettings { concurrency: 5, think_time_us: 0 });
        assert_eq!((workload.users(), workload.with_users(9).users()), (Some(5), Some(9)));
    }
}
