mod basis; mod build; mod circuit; mod emit; mod fit; mod improve; mod rng; mod tables;
use circuit::*;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let f = |n: usize| -> usize { a[n].parse().unwrap() };
    let basis = if a[1] == "2" { Basis::Two } else { Basis::Three };
    let bx = f(2);
    let choices = basis::Choices::new(basis);
    let targets = targets(&tables::TABLES[bx]);
    let t0 = std::time::Instant::now();
    let mut best = 999; let mut bc: Option<Circuit> = None;
    for seed in 0.. {
        if t0.elapsed().as_secs() > f(3) as u64 { break; }
        let mut rng = rng::Rng(seed);
        let tb = std::time::Instant::now();
        let search = build::Search { basis, choices: &choices, width: f(4), tries: f(5), trials: f(6) };
        let kept = build::beam(&search, &targets, &mut rng);
        print!("build {} ms; ", tb.elapsed().as_millis());
        let t1 = std::time::Instant::now();
        let sizes: Vec<usize> = kept.iter().map(|k| k.gates.len()).collect();
        let w = improve::Walk { search: &search, odds: f(8) };
        let mut fin = vec![];
        for start in kept {
            let c = w.run(start, f(7), &mut rng);
            for (o, t) in c.outs.iter().zip(targets) { assert_eq!(c.truth[*o as usize], t); }
            if c.gates.len() < best { best = c.gates.len(); bc = Some(c.clone()); }
            fin.push(c.gates.len());
        }
        if let Ok(x) = std::env::var("EMIT") { std::fs::write(x, emit::function(bc.as_ref().unwrap(), bx+1)).unwrap(); } println!("box {} seed {seed}: {sizes:?} -> {fin:?} best {best} ({} ms)", bx+1, t1.elapsed().as_millis());
    }
}
