// GPU features, each in one function: tensor cores, shuffles, barriers, clusters, memory shared by blocks.
// The tests' emulator defines the same functions on a CPU; all other files are plain C++.
#ifndef VECPARITY_DEVICE
#define VECPARITY_DEVICE

#define DEVICE __device__ __forceinline__
#define KERNEL(threads) extern "C" __global__ void __launch_bounds__(threads, 1)
#define UNROLL _Pragma("unroll")
// For long loops: when unrolled, early loads need more registers than there are.
#define ROLLED _Pragma("unroll 1")

namespace vecparity {

using Float4 = float4;
using Uint2 = uint2;
using Uint4 = uint4;

DEVICE int thread_index() { return threadIdx.x; }

extern __shared__ __align__(128) unsigned char shared_bytes[];

template <typename Shared>
DEVICE Shared& shared_memory() {
    return *reinterpret_cast<Shared*>(shared_bytes);
}

// Returns the address in a block's shared memory, which is the same in every block of a cluster.
DEVICE unsigned shared_address(const void* pointer) {
    return static_cast<unsigned>(__cvta_generic_to_shared(pointer));
}

// ---- Floating point

DEVICE unsigned bits_of(float x) { return __float_as_uint(x); }
DEVICE float float_of(unsigned bits) { return __uint_as_float(bits); }

// Accurate to a unit in the last place, in a quarter of the time of the IEEE operation.
DEVICE float square_root(float x) {
    float y;
    asm("sqrt.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

DEVICE float reciprocal(float x) {
    float y;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

DEVICE float relu(float x) {  // NaN stays NaN
    float y;
    asm("max.NaN.f32 %0, %1, 0f00000000;" : "=f"(y) : "f"(x));
    return y;
}

// Rounds two numbers to fp16, the first in the low half.
DEVICE unsigned pack_halves(float first, float second) {
    unsigned both;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(second), "f"(first));
    return both;
}

DEVICE float half_to_float(unsigned short half) {
    float x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(half));
    return x;
}

// ---- Bits

DEVICE unsigned shift_in_sign(unsigned bits, float x) { return __funnelshift_l(bits_of(x), bits, 1); }

DEVICE int count_bits(unsigned long long word) { return __popcll(word); }

// Returns 0xFFFF in each half of the word whose highest bit is set: 8 in a selector copies a byte's sign, which
// __byte_perm cannot ask for.
DEVICE unsigned mask_of_signs(unsigned word) {
    unsigned mask;
    asm("prmt.b32 %0, %1, 0, 0xBB99;" : "=r"(mask) : "r"(word));
    return mask;
}

// ---- A warp together

DEVICE float shuffle_xor(float x, int lanes) { return __shfl_xor_sync(~0u, x, lanes); }
DEVICE unsigned warp_maximum(unsigned x) { return __reduce_max_sync(~0u, x); }
DEVICE int warp_count(bool is_set) { return __popc(__ballot_sync(~0u, is_set)); }
DEVICE void warp_barrier() { __syncwarp(); }

// Loads four 8x8 matrices of fp16: lanes 8i to 8i + 7 hold the addresses of the rows of matrix i.
DEVICE void load_matrices(unsigned (&to)[4], unsigned address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(address)
                 : "memory");
}

DEVICE void load_matrices_transposed(unsigned (&to)[4], unsigned address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(address)
                 : "memory");
}

// sums [16, 8] += a [16, 16] * b [16, 8].
DEVICE void multiply_add(float (&sums)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
                 "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// ---- A block, and a cluster of them

DEVICE void block_barrier() { __syncthreads(); }

DEVICE void cluster_barrier() {
    warp_barrier();  // for `aligned`, after code for a single thread
    asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
    asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
}

DEVICE int cluster_rank() {
    unsigned rank;
    asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return static_cast<int>(rank);
}

// Writes to the shared memory of another block of the cluster.
DEVICE void store_to_block(int block, unsigned address, unsigned bits) {
    unsigned there;
    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(address), "r"(block));
    asm volatile("st.shared::cluster.u32 [%0], %1;" ::"r"(there), "r"(bits) : "memory");
}

// ---- Memory that clusters share

// Bypasses the first-level caches, which do not see writes of other multiprocessors.
DEVICE float load_shared_state(const float* from) { return __ldcg(from); }
DEVICE double load_shared_state(const double* from) { return __ldcg(from); }
DEVICE long long load_shared_state(const long long* from) { return __ldcg(from); }
DEVICE unsigned char load_shared_state(const unsigned char* from) { return __ldcg(from); }

DEVICE int take_ticket(int* next) { return atomicAdd(next, 1); }

DEVICE int load_acquire(const int* from) {
    int value;
    asm volatile("ld.acquire.gpu.s32 %0, [%1];" : "=r"(value) : "l"(from) : "memory");
    return value;
}

DEVICE void store_release(int* to, int value) {
    __threadfence();
    asm volatile("st.release.gpu.s32 [%0], %1;" ::"l"(to), "r"(value) : "memory");
}

DEVICE void publish() { __threadfence(); }
DEVICE void pause() { __nanosleep(200); }

}  // namespace vecparity
#endif
