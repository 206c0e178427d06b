//! x
/// Box 1: 34 gates.
#[inline(always)]
pub fn s1([a, b, c, d, e, f]: [u64; 6]) -> [u64; 4] {
    let t1 = a ^ !(d ^ f);
    let t2 = a ^ !(d & t1);
    let t3 = t1 ^ (!d & t2);
    let t4 = (c & t2) | (!c & t1);
    let t5 = !t4 | !(t3 | c);
    let t6 = f ^ (c & t4);
    let t7 = t1 ^ (!c | f);
    let t8 = (f & !c) | (!f & !t7);
    let t9 = t6 ^ (t7 | !f);
    let t10 = t8 ^ !(f & t9);
    let t11 = (b & t10) | (!b & t9);
    let t12 = (t5 & t7) | (!t5 & !t11);
    let t13 = b ^ (!t11 & t12);
    let t14 = t6 ^ !(t10 ^ t13);
    let t15 = (t5 & !b) | (!t5 & t14);
    let t16 = (e & t8) | (!e & t5);
    let t17 = t7 ^ !(t4 | f);
    let t18 = (e & t17) | (!e & t4);
    let t19 = (b & t16) | (!b & t18);
    let t20 = t15 ^ (!t3 | t19);
    let t21 = (e & t20) | (!e & t14);
    let t22 = t21 ^ (t2 & t4);
    let t23 = (e & t13) | (!e & !t22);
    let t24 = (a & t21) | (!a & t23);
    let t25 = t3 ^ (t10 ^ t11);
    let t26 = (b & t12) | (!b & t25);
    let t27 = (e & t26) | (!e & t11);
    let t28 = (t25 & t12) | (!t25 & !t14);
    let t29 = (a & t26) | (!a & d);
    let t30 = (e & t28) | (!e & t29);
    let t31 = (t19 & !t5) | (!t19 & t30);
    let t32 = t19 ^ (t27 ^ t24);
    let t33 = (e & t31) | (!e & t32);
    let t34 = (b & t33) | (!b & t30);
    [t24, t27, t19, t34]
}

/// Box 2: 32 gates.
#[inline(always)]
pub fn s2([a, b, c, d, e, f]: [u64; 6]) -> [u64; 4] {
    let t1 = c ^ (d | !e);
    let t2 = f ^ t1;
    let t3 = b ^ !(e ^ f);
    let t4 = b & !(t1 ^ t2);
    let t5 = !t2 | !(t3 | t4);
    let t6 = (t3 & e) | (!t3 & !b);
    let t7 = (d & t6) | (!d & t3);
    let t8 = e ^ (!d | t4);
    let t9 = (c & t8) | (!c & t7);
    let t10 = t7 ^ (c | !e);
    let t11 = (t3 & t1) | (!t3 & t10);
    let t12 = t6 & (!t5 & t11);
    let t13 = t9 ^ (a & !t12);
    let t14 = !d ^ t5;
    let t15 = t2 ^ !(e & t14);
    let t16 = (a & t15) | (!a & t2);
    let t17 = d ^ !(e ^ t5);
    let t18 = (t7 & t5) | (!t7 & !t17);
    let t19 = d ^ (!t6 & t11);
    let t20 = (a & t18) | (!a & t19);
    let t21 = (b & t20) | (!b & t16);
    let t22 = (t9 & !t11) | (!t9 & t18);
    let t23 = d ^ (t4 & t11);
    let t24 = (a & t23) | (!a & t17);
    let t25 = t3 ^ !(t1 | t24);
    let t26 = (a & t25) | (!a & t22);
    let t27 = t14 ^ (!t1 | t26);
    let t28 = t27 ^ !(a | f);
    let t29 = (t13 & t27) | (!t13 & t28);
    let t30 = (b & t26) | (!b & t29);
    let t31 = (a & t11) | (!a & t10);
    let t32 = (f & t31) | (!f & t24);
    [t21, t13, t30, t32]
}

/// Box 3: 31 gates.
#[inline(always)]
pub fn s3([a, b, c, d, e, f]: [u64; 6]) -> [u64; 4] {
    let t1 = b ^ (d ^ f);
    let t2 = b ^ (c ^ f);
    let t3 = !t1 & (c | !t2);
    let t4 = d ^ (!f | t1);
    let t5 = t2 ^ !(d & t4);
    let t6 = b ^ !(t3 ^ t5);
    let t7 = (c & t6) | (!c & t4);
    let t8 = t3 | !(t7 | t5);
    let t9 = (t8 & !a) | (!t8 & c);
    let t10 = t5 ^ (!b | t9);
    let t11 = (a & t5) | (!a & t10);
    let t12 = (t1 & !t8) | (!t1 & t11);
    let t13 = (t12 & !t3) | (!t12 & !e);
    let t14 = a ^ t13;
    let t15 = !t12 | !(c ^ t14);
    let t16 = (b & t15) | (!b & t9);
    let t17 = t16 | (t2 & !t10);
    let t18 = (a & t7) | (!a & t1);
    let t19 = (t18 & !t17) | (!t18 & t10);
    let t20 = (e & t19) | (!e & t16);
    let t21 = t20 ^ !(a & t14);
    let t22 = t7 ^ (!b | t19);
    let t23 = (a & t22) | (!a & t2);
    let t24 = (e & t14) | (!e & t11);
    let t25 = (t24 & !t23) | (!t24 & t7);
    let t26 = t21 ^ t25;
    let t27 = e ^ !(t3 | t25);
    let t28 = (t21 & !t27) | (!t21 & t24);
    let t29 = (a & t28) | (!a & t27);
    let t30 = (d & t29) | (!d & t26);
    let t31 = (e & t23) | (!e & t18);
    [t30, t24, t20, t31]
}

/// Box 4: 35 gates.
#[inline(always)]
pub fn s4([a, b, c, d, e, f]: [u64; 6]) -> [u64; 4] {
    let t1 = (f & !c) | (!f & !b);
    let t2 = e ^ (c | !f);
    let t3 = (f & !t2) | (!f & !c);
    let t4 = (b & t2) | (!b & t3);
    let t5 = t2 ^ (!t1 | t4);
    let t6 = (b & c) | (!b & !d);
    let t7 = (t5 & t6) | (!t5 & d);
    let t8 = (d & t5) | (!d & t4);
    let t9 = f ^ !(t3 | t5);
    let t10 = t9 | (t3 & !t6);
    let t11 = !t6 & !(t8 & t10);
    let t12 = (d & t11) | (!d & t10);
    let t13 = (a & t12) | (!a & t8);
    let t14 = t13 ^ (!t1 & t3);
    let t15 = (a & t14) | (!a & t7);
    let t16 = t9 | (t1 & t4);
    let t17 = !t7 | !(t16 & t11);
    let t18 = t17 ^ (t4 & !t9);
    let t19 = t18 ^ (!a & t17);
    let t20 = t8 ^ t19;
    let t21 = (e & t15) | (!e & t20);
    let t22 = t4 ^ (t14 | !t15);
    let t23 = t22 & (!t11 | t15);
    let t24 = !e | !(t6 ^ t23);
    let t25 = f ^ !(t20 & t24);
    let t26 = (b & !t21) | (!b & t25);
    let t27 = !t16 ^ t26;
    let t28 = (d & t23) | (!d & t27);
    let t29 = t28 ^ (!t2 | t9);
    let t30 = (e & t24) | (!e & t29);
    let t31 = t29 ^ (f | t3);
    let t32 = !t5 & (t3 | t26);
    let t33 = t15 ^ t32;
    let t34 = (e & t31) | (!e & t33);
    let t35 = (a & t34) | (!a & t30);
    [t21, t28, t35, t13]
}

/// Box 5: 35 gates.
#[inline(always)]
pub fn s5([a, b, c, d, e, f]: [u64; 6]) -> [u64; 4] {
    let t1 = (f & b) | (!f & !e);
    let t2 = (f & !e) | (!f & !t1);
    let t3 = b ^ !(c ^ t2);
    let t4 = t3 ^ (c | !e);
    let t5 = b ^ (f | t4);
    let t6 = (c & t5) | (!c & t2);
    let t7 = e ^ (!t3 | t4);
    let t8 = (d & t3) | (!d & t6);
    let t9 = t4 ^ (t1 | !t8);
    let t10 = (c & t9) | (!c & t1);
    let t11 = d ^ (t3 | t10);
    let t12 = t7 ^ (!t10 & t11);
    let t13 = t7 | !(d | t2);
    let t14 = t3 ^ !(d & f);
    let t15 = (a & t14) | (!a & t13);
    let t16 = b ^ (t12 | t15);
    let t17 = d ^ !(e & t12);
    let t18 = t16 ^ t17;
    let t19 = (a & t12) | (!a & t18);
    let t20 = t4 ^ !(t6 | t19);
    let t21 = t17 ^ !(t7 & t5);
    let t22 = (a & t20) | (!a & t21);
    let t23 = (f & t22) | (!f & t19);
    let t24 = (d & t4) | (!d & t10);
    let t25 = (a & t24) | (!a & t8);
    let t26 = !t11 & (!c | t1);
    let t27 = (a & !t21) | (!a & t26);
    let t28 = (b & t27) | (!b & t15);
    let t29 = a ^ (t6 & t23);
    let t30 = t13 ^ !(t18 & t29);
    let t31 = a ^ (!t2 | t20);
    let t32 = (d & t30) | (!d & t31);
    let t33 = t29 ^ !(t15 & t24);
    let t34 = t33 ^ (d & t22);
    let t35 = (c & t32) | (!c & t34);
    [t23, t25, t28, t35]
}

/// Box 6: 32 gates.
#[inline(always)]
pub fn s6([a, b, c, d, e, f]: [u64; 6]) -> [u64; 4] {
    let t1 = a ^ !(d ^ f);
    let t2 = b ^ (e ^ t1);
    let t3 = !f | !(a | d);
    let t4 = b ^ (t3 | t3);
    let t5 = t4 & (t1 | !t2);
    let t6 = (e & t2) | (!e & t5);
    let t7 = (t3 & t1) | (!t3 & !t5);
    let t8 = (a & !t1) | (!a & !t7);
    let t9 = (e & t8) | (!e & t7);
    let t10 = c ^ (t5 & t7);
    let t11 = (t10 & t9) | (!t10 & t6);
    let t12 = t2 ^ (!b | c);
    let t13 = t9 ^ !(d & t11);
    let t14 = t6 ^ (a | !t7);
    let t15 = !t10 ^ t14;
    let t16 = t13 & !(d ^ t15);
    let t17 = t6 ^ (t11 ^ t16);
    let t18 = !t12 | (t4 & t17);
    let t19 = (d & t18) | (!d & t2);
    let t20 = t19 ^ !(t3 & t9);
    let t21 = (f & t20) | (!f & t17);
    let t22 = (c & t21) | (!c & t19);
    let t23 = (e & t15) | (!e & t12);
    let t24 = t2 ^ (c | !t3);
    let t25 = t10 ^ (t4 | !t18);
    let t26 = (e & t25) | (!e & t24);
    let t27 = (a & t26) | (!a & t23);
    let t28 = (c & t14) | (!c & t13);
    let t29 = (t2 & t21) | (!t2 & !t23);
    let t30 = (t8 & !t23) | (!t8 & t16);
    let t31 = (c & !t30) | (!c & t29);
    let t32 = (f & t31) | (!f & t28);
    [t11, t22, t27, t32]
}

/// Box 7: 32 gates.
#[inline(always)]
pub fn s7([a, b, c, d, e, f]: [u64; 6]) -> [u64; 4] {
    let t1 = a ^ (b | c);
    let t2 = e ^ t1;
    let t3 = (c & !t2) | (!c & t1);
    let t4 = (d & t3) | (!d & t2);
    let t5 = (b & c) | (!b & e);
    let t6 = b ^ t2;
    let t7 = (t1 & !t2) | (!t1 & !t5);
    let t8 = t7 ^ (t3 | t6);
    let t9 = d | (!a & t8);
    let t10 = t9 ^ !(t2 | t5);
    let t11 = (t4 & d) | (!t4 & !t10);
    let t12 = (t4 & t10) | (!t4 & !t3);
    let t13 = t11 ^ (b & t12);
    let t14 = (d & t8) | (!d & t7);
    let t15 = (b & t14) | (!b & t10);
    let t16 = (f & t13) | (!f & t15);
    let t17 = (f & t8) | (!f & !t6);
    let t18 = t3 ^ (c & !t6);
    let t19 = (f & t14) | (!f & t4);
    let t20 = t5 ^ !(t18 & t19);
    let t21 = (a & t17) | (!a & t20);
    let t22 = !t3 & (f ^ t6);
    let t23 = t22 ^ (!b & t21);
    let t24 = c ^ (t16 ^ t19);
    let t25 = (a & t23) | (!a & t24);
    let t26 = (d & t25) | (!d & t21);
    let t27 = t22 | (t10 ^ t16);
    let t28 = (f & t18) | (!f & t27);
    let t29 = (t6 & t5) | (!t6 & !t28);
    let t30 = !t10 | !(t22 ^ t29);
    let t31 = (f & t29) | (!f & t30);
    let t32 = (d & t31) | (!d & t28);
    [t16, t26, t32, t19]
}

/// Box 8: 33 gates.
#[inline(always)]
pub fn s8([a, b, c, d, e, f]: [u64; 6]) -> [u64; 4] {
    let t1 = b ^ (c ^ d);
    let t2 = f ^ (!b | c);
    let t3 = t2 ^ (!b & d);
    let t4 = b ^ !(c & t3);
    let t5 = (f & t1) | (!f & t4);
    let t6 = (b & t1) | (!b & t5);
    let t7 = c ^ (e & !t1);
    let t8 = (f & !t7) | (!f & !t5);
    let t9 = (t1 & t8) | (!t1 & d);
    let t10 = (a & t5) | (!a & t3);
    let t11 = t1 ^ !(t2 ^ t8);
    let t12 = t8 ^ (!a & t11);
    let t13 = (e & t12) | (!e & t10);
    let t14 = t6 ^ (t9 ^ t13);
    let t15 = (a & t14) | (!a & t6);
    let t16 = a ^ !(d | t14);
    let t17 = b ^ (t3 ^ t16);
    let t18 = (a & t3) | (!a & !t1);
    let t19 = (f & t17) | (!f & t18);
    let t20 = t15 & (b | t19);
    let t21 = t20 ^ !(t4 | t10);
    let t22 = !t19 ^ t21;
    let t23 = t22 & (t8 | !t15);
    let t24 = (a & t21) | (!a & t23);
    let t25 = (e & t24) | (!e & t15);
    let t26 = !f & (t1 ^ t24);
    let t27 = t17 ^ (!t26 | t7);
    let t28 = (t27 & !t8) | (!t27 & !t2);
    let t29 = (e & t28) | (!e & t22);
    let t30 = (t28 & t20) | (!t28 & t4);
    let t31 = (a & t30) | (!a & t7);
    let t32 = (b & t29) | (!b & t31);
    let t33 = (e & t27) | (!e & t19);
    [t25, t13, t32, t33]
}
