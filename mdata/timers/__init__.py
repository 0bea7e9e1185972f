"""systemd: the units and timers that run the jobs, who schedules a store, and when each job runs next."""
