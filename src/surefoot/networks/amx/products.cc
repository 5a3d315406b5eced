// Float32 matrix products from bfloat16 ones, for CPUs whose tile unit (AMX) multiplies only bfloat16, but that many
// times as fast as the core's vector units multiply float32.
//
// A float32 number has 24 significant binary digits and a bfloat16 number 8, so x = x0 + x1 + x2 with three bfloat16
// pieces: x0 is x rounded, x1 the rest rounded, x2 the rest of that. Of the nine products of the pieces of two
// numbers, three lie below the last digit of float32; the tile unit sums the other six in float32. (G. Henry, P. Tang,
// A. Heinecke, "Leveraging the bfloat16 Artificial Intelligence Datatype For Higher-Precision Computations", arXiv
// 1904.06376.)
//
// Numbers below 2^-110 lose digits, because the tile unit takes bfloat16 numbers below 2^-126 for zero; and where a
// float32 product would be infinite, this one can be NaN.
//
// Called through XLA's foreign function interface; library.py compiles and registers it.

#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

namespace {

constexpr int kPieces = 3;
constexpr int64_t kLanes = 16;           // rows or columns of the result in a tile
constexpr int64_t kDepth = 32;           // terms of its sums in a tile
constexpr int64_t kTile = kLanes * kDepth;
constexpr int64_t kSide = 2 * kLanes;    // rows and columns of a block: four tiles of sums
constexpr int64_t kStrip = 8;            // blocks side by side, so that rows of the result are written 1 KB at a time
constexpr int64_t kBand = 4;             // blocks on top of each other, to each task
constexpr int64_t kTogether = 8;         // matrices of a batch that are packed at the same time

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

// One factor of every product of a batch. Its lanes are the rows of the left factor or the columns of the right one;
// its depth is what the sums go over. Numbers along one of the two lie next to each other in memory.
struct Factor {
  const float* data;
  std::vector<int64_t> offsets;  // of each matrix of the batch
  int64_t lanes, depth, stride;
  bool depth_contiguous;
};

// ---- Threads

// What the threads of one product know of each other. They share it, because one that begins late, when nothing is
// left to do, may find the product returned.
struct Progress {
  std::atomic<int64_t> next{0}, done{0};

  void WaitFor(int64_t tasks) const {
    // Others are in the middle of a task each, of some ten microseconds: sleeping would take as long.
    for (int i = 0; done.load(std::memory_order_acquire) < tasks; ++i) {
      if (i < 10'000) _mm_pause();
      else std::this_thread::yield();
    }
  }
};

// Runs first(0), ..., first(firsts - 1), and when all are done second(0), ..., second(seconds - 1), on this thread and
// those of XLA. They are handed over once for both: to wake a thread takes as long as a tenth of a product.
template <typename First, typename Second>
void Parallel(ffi::ThreadPool& pool, int64_t firsts, First first, int64_t seconds, Second second) {
  const int64_t tasks = firsts + seconds;
  auto progress = std::make_shared<Progress>();
  auto work = [=] {
    for (int64_t i; (i = progress->next.fetch_add(1)) < tasks;) {
      if (i < firsts) {
        first(i);
      } else {
        progress->WaitFor(firsts);
        second(i - firsts);
      }
      progress->done.fetch_add(1, std::memory_order_release);
    }
  };
  const int64_t threads = std::min<int64_t>(pool.num_threads(), tasks);
  for (int64_t t = 1; t < threads; ++t) pool.Schedule(std::function<void()>(work));
  work();
  progress->WaitFor(tasks);
}

// ---- Packing

// Memory for packed factors, kept for the next product: fresh memory costs a page fault every 4 KB.
class Buffers {
 public:
  struct Buffer {
    uint16_t* data;
    size_t size;
  };

  Buffer Take(size_t size) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      for (auto it = free_.begin(); it != free_.end(); ++it) {
        if (it->size < size) continue;
        const Buffer buffer = *it;
        free_.erase(it);
        return buffer;
      }
    }
    return {static_cast<uint16_t*>(std::aligned_alloc(64, size * sizeof(uint16_t))), size};
  }

  void Give(Buffer buffer) {
    std::lock_guard<std::mutex> lock(mutex_);
    free_.push_back(buffer);
  }

 private:
  std::mutex mutex_;
  std::vector<Buffer> free_;
};

Buffers& PackedMemory() {
  static Buffers* buffers = new Buffers;  // XLA's threads may outlive static objects.
  return *buffers;
}

// Swaps the rows and columns of 16 x 16 32-bit numbers whose indices differ in one binary digit.
template <int kDigit>
void SwapDigit(__m512i* rows) {
  alignas(64) static constexpr auto kIndices = [] {
    std::array<std::array<int, kLanes>, 2> indices{};
    for (int l = 0; l < kLanes; ++l) {
      indices[0][l] = l & kDigit ? kLanes + (l ^ kDigit) : l;
      indices[1][l] = l & kDigit ? kLanes + l : l ^ kDigit;
    }
    return indices;
  }();
  const __m512i low = _mm512_loadu_si512(kIndices[0].data()), high = _mm512_loadu_si512(kIndices[1].data());
  for (int i = 0; i < kLanes; ++i) {
    if (i & kDigit) continue;
    const __m512i a = rows[i], b = rows[i | kDigit];
    rows[i] = _mm512_permutex2var_epi32(a, low, b);
    rows[i | kDigit] = _mm512_permutex2var_epi32(a, high, b);
  }
}

void Transpose(__m512i* rows) {
  SwapDigit<1>(rows);
  SwapDigit<2>(rows);
  SwapDigit<4>(rows);
  SwapDigit<8>(rows);
}

// Rounds x to bfloat16, as the upper half of 32 bits, and leaves the rest in x.
__m512i TakePiece(__m512& x) {
  const __m512i piece = _mm512_slli_epi32(_mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(x)), 16);
  x = _mm512_sub_ps(x, _mm512_castsi512_ps(piece));
  return piece;
}

// Loads 16 numbers, zeros behind the first `count`.
__m512 Load(const float* source, int64_t count) {
  if (count >= kLanes) return _mm512_loadu_ps(source);
  return _mm512_maskz_loadu_ps(count > 0 ? (1u << count) - 1 : 0, source);
}

// Writes a tile's three pieces. A tile of the left factor has a row for each lane; one of the right factor has a row
// for every two terms of the sums, with the two numbers of a lane next to each other.
void PackTile(const Factor& factor, int64_t matrix, int64_t lane, int64_t depth, bool left, uint16_t* tile) {
  const int64_t lanes = factor.lanes - lane, terms = factor.depth - depth, stride = factor.stride;
  const float* source = factor.data + factor.offsets[matrix];
  __m512i rows[kPieces][kLanes];
  if (factor.depth_contiguous) {
    source += lane * stride + depth;
    for (int64_t l = 0; l < kLanes; ++l, source += stride) {
      __m512 a = Load(source, l < lanes ? terms : 0), b = Load(source + kLanes, l < lanes ? terms - kLanes : 0);
      for (auto& piece : rows) {
        const __m512bh both = _mm512_cvtne2ps_pbh(b, a);
        piece[l] = (__m512i)both;
        TakePiece(a);
        TakePiece(b);
      }
    }
  } else {
    source += depth * stride + lane;
    for (int64_t pair = 0; pair < kLanes; ++pair, source += 2 * stride) {
      __m512 a = Load(source, 2 * pair < terms ? lanes : 0);
      __m512 b = Load(source + stride, 2 * pair + 1 < terms ? lanes : 0);
      for (auto& piece : rows) piece[pair] = _mm512_or_si512(_mm512_srli_epi32(TakePiece(a), 16), TakePiece(b));
    }
  }
  for (auto& piece : rows) {
    if (factor.depth_contiguous != left) Transpose(piece);
    for (int64_t i = 0; i < kLanes; ++i, tile += kDepth) _mm512_store_si512(tile, piece[i]);
  }
}

// Writes the tiles of 32 lanes: of the first 16 along the whole depth, and then of the others.
void PackPanel(const Factor& factor, int64_t matrix, int64_t panel, bool left, uint16_t* packed) {
  for (int64_t lane = panel * kSide; lane < (panel + 1) * kSide; lane += kLanes) {
    for (int64_t depth = 0; depth < factor.depth; depth += kDepth, packed += kPieces * kTile) {
      PackTile(factor, matrix, lane, depth, left, packed);
    }
  }
}

// ---- Multiplying

// The tile unit of this thread, set up for tiles of 16 rows of 64 bytes.
class TileUnit {
 public:
  TileUnit() {
    alignas(64) static constexpr struct {
      uint8_t palette = 1, start = 0, reserved[14] = {};
      uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    } kSetting;
    _tile_loadconfig(&kSetting);
  }
  ~TileUnit() { _tile_release(); }
  TileUnit(const TileUnit&) = delete;
  TileUnit& operator=(const TileUnit&) = delete;
};

// Multiplies two panels: 32 x 32 of the result, to rows that are kStrip blocks long.
void MultiplyPanels(const uint16_t* left, const uint16_t* right, int64_t tiles, float* block) {
  constexpr int64_t kRow = kDepth * sizeof(uint16_t), kPitch = kStrip * kSide;
  const int64_t below = tiles * kPieces * kTile;  // from the first 16 lanes to the others
  const auto load_left = [&](int piece) {
    _tile_loadd(4, left + piece * kTile, kRow);
    _tile_loadd(5, left + below + piece * kTile, kRow);
  };
  const auto load_right = [&](int piece) {
    _tile_loadd(6, right + piece * kTile, kRow);
    _tile_loadd(7, right + below + piece * kTile, kRow);
  };
  const auto multiply = [] {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  };
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int64_t t = 0; t < tiles; ++t, left += kPieces * kTile, right += kPieces * kTile) {
    // Six products in an order that changes one factor for each, because the unit holds no more than eight tiles.
    load_left(0), load_right(2), multiply();
    load_right(1), multiply();
    load_left(1), multiply();
    load_right(0), multiply();
    load_left(2), multiply();
    load_left(0), multiply();
  }
  _tile_stored(0, block, kPitch * sizeof(float));
  _tile_stored(1, block + kLanes, kPitch * sizeof(float));
  _tile_stored(2, block + kLanes * kPitch, kPitch * sizeof(float));
  _tile_stored(3, block + kLanes * kPitch + kLanes, kPitch * sizeof(float));
}

// Multiplies `count` matrices of a batch, from the one with this number on, to result [count, left.lanes, right.lanes].
// Returns whether there was memory for it.
bool Multiply(ffi::ThreadPool& pool, const Factor& left, const Factor& right, int64_t from, int64_t count,
              float* result) {
  const int64_t height = left.lanes, width = right.lanes, tiles = CeilDiv(left.depth, kDepth);
  const int64_t rows = CeilDiv(height, kSide), columns = CeilDiv(width, kSide);
  const int64_t bands = CeilDiv(rows, kBand), strips = CeilDiv(columns, kStrip);
  const int64_t panel = 2 * tiles * kPieces * kTile;
  const Buffers::Buffer buffer = PackedMemory().Take(count * (rows + columns) * panel);
  if (buffer.data == nullptr) return false;
  uint16_t* const lefts = buffer.data;
  uint16_t* const rights = lefts + count * rows * panel;
  const Factor *left_factor = &left, *right_factor = &right;

  const auto pack = [=](int64_t task) {
    const int64_t of_rights = task - count * rows;
    if (of_rights < 0) PackPanel(*left_factor, from + task / rows, task % rows, true, lefts + task * panel);
    else PackPanel(*right_factor, from + of_rights / columns, of_rights % columns, false, rights + of_rights * panel);
  };
  const auto multiply = [=](int64_t task) {
    const int64_t matrix = task / (strips * bands), strip = task / bands % strips, band = task % bands;
    const int64_t first_column = strip * kStrip, last_column = std::min(columns, first_column + kStrip);
    const int64_t kept = std::min(width - first_column * kSide, kStrip * kSide);
    alignas(64) float block[kSide * kStrip * kSide];
    const TileUnit unit;
    for (int64_t row = band * kBand; row < std::min(rows, (band + 1) * kBand); ++row) {
      for (int64_t column = first_column; column < last_column; ++column) {
        MultiplyPanels(lefts + (matrix * rows + row) * panel, rights + (matrix * columns + column) * panel, tiles,
                       block + (column - first_column) * kSide);
      }
      for (int64_t r = row * kSide; r < std::min(height, (row + 1) * kSide); ++r) {
        std::memcpy(result + (matrix * height + r) * width + first_column * kSide,
                    block + (r - row * kSide) * kStrip * kSide, kept * sizeof(float));
      }
    }
  };
  Parallel(pool, count * (rows + columns), pack, count * strips * bands, multiply);
  PackedMemory().Give(buffer);
  return true;
}

// ---- The interface to XLA

using Array = ffi::Buffer<ffi::F32>;
using Dimensions = ffi::Span<const int64_t>;

// Reads [..., n, m] as one factor; `over` says which of the last two axes the sums go over. Leading axes are as long as
// the result's, or 1 where the matrix is the same for all.
Factor Read(Array array, int64_t over, Dimensions batch) {
  const Dimensions sizes = array.dimensions();
  const int64_t axes = sizes.size() - 2, n = sizes[axes], m = sizes[axes + 1];
  std::vector<int64_t> offsets{0};
  int64_t matrices = 1;
  for (int64_t axis = 0; axis < axes; ++axis) matrices *= sizes[axis];
  for (int64_t axis = 0; axis < axes; ++axis) {
    matrices /= sizes[axis];
    std::vector<int64_t> longer;
    for (const int64_t offset : offsets) {
      const int64_t step = sizes[axis] == 1 ? 0 : matrices * n * m;
      for (int64_t i = 0; i < batch[axis]; ++i) longer.push_back(offset + i * step);
    }
    offsets = std::move(longer);
  }
  return {array.typed_data(), std::move(offsets), over == 0 ? m : n, over == 0 ? n : m, m, over == 1};
}

ffi::Error Product(ffi::ThreadPool pool, Array left, Array right, ffi::Result<Array> result, int64_t over_left,
                   int64_t over_right) {
  const Factor a = Read(left, over_left, result->dimensions()), b = Read(right, over_right, result->dimensions());
  const int64_t batch = a.offsets.size(), size = a.lanes * b.lanes;
  for (int64_t from = 0; from < batch; from += kTogether) {
    if (!Multiply(pool, a, b, from, std::min(kTogether, batch - from), result->typed_data() + from * size)) {
      return ffi::Error(ffi::ErrorCode::kResourceExhausted, "no memory left for the pieces of a matrix product");
    }
  }
  return ffi::Error::Success();
}

}  // namespace

// Asks Linux for the tile unit, for all threads of this process; says whether it was granted.
extern "C" int surefoot_allow_tiles() {
  constexpr int kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

XLA_FFI_DEFINE_HANDLER_SYMBOL(SurefootProduct, Product,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Array>()
                                  .Arg<Array>()
                                  .Ret<Array>()
                                  .Attr<int64_t>("over_left")
                                  .Attr<int64_t>("over_right"));
