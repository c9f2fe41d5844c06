use loadgen::{
    args, ctx::Ctx, net, scenario_connect, scenario_forged, scenario_polling, scenario_upgrade, scenario_ws,
};

fn main() {
    let argv: Vec<String> = std::env::args().skip(1).collect();
    let a = match args::parse(&argv) {
        Ok(a) => a,
        Err(e) => {
            eprintln!("loadgen: {e}");
            std::process::exit(2);
        }
    };
    let limit = net::raise_nofile();
    if (a.conns as u64) * 2 + 50 > limit && a.conns > 1000 && (a.conns as u64) + 50 > limit {
        eprintln!("loadgen: {} connections need more descriptors than the limit of {limit}", a.conns);
        std::process::exit(2);
    }
    let scenario = a.scenario.clone();
    let mut c = Ctx::new(a);
    let code = match scenario.as_str() {
        "echo" | "receive" | "broadcast" | "hold" => {
            let mut s = scenario_ws::Ws::new(&mut c);
            c.run(&mut s)
        }
        "connect" => {
            let mut s = scenario_connect::Connect::new(&mut c);
            c.run(&mut s)
        }
        "poll-handshake" | "poll-echo" => {
            let mut s = scenario_polling::Polling::new(&mut c);
            c.run(&mut s)
        }
        "poll-upgrade" => {
            let mut s = scenario_upgrade::PollUpgrade::new(&mut c);
            c.run(&mut s)
        }
        "forged" => {
            let mut s = scenario_forged::Forged::new(&mut c);
            c.run(&mut s)
        }
        s => {
            eprintln!("loadgen: unknown scenario {s}");
            2
        }
    };
    std::process::exit(code);
}
